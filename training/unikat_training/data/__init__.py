"""Data sets: prepared once into a memory-mapped array and a JSON file, then read by training."""

from unikat_training.data.dataset import Attribute, Dataset, DatasetError, Source

__all__ = ["Attribute", "Dataset", "DatasetError", "Source"]
