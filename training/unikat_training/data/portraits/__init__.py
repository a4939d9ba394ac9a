"""Portraits without end: fourteen illustrators' styles of DiceBear, aligned, labelled, drawn on nothing."""
