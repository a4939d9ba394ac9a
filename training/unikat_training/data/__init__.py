"""Data sets: prepared once into a memory-mapped array and a JSON file, then read by training."""

from unikat_training.data.dataset import Attribute, Dataset, Source
from unikat_training.errors import DatasetError

__all__ = ["Attribute", "Dataset", "DatasetError", "Source"]
