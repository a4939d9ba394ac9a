"""What a person should know of a foreign generator: inputs without an effect, values outside of the range."""

from dataclasses import replace

import numpy as np

from unikat_training.imported.original import Form, Original
from unikat_training.parity import Rows
from unikat_training.session import Floats

FAR_OUTSIDE = 0.05  # share of the values that are cut off
NARROW = 0.25  # of the range: where all values lie within so much of it, it may be another


def notes(original: Original, rows: Rows, values: Floats, form: Form) -> list[str]:
    """Sentences. `values` is what `original` gives for `rows`."""
    few = rows.take(np.arange(2))
    first, start = original.run(few), 0
    changed = {
        "The latent": replace(few, latent=few.latent[::-1]),
        "Truncation": replace(few, truncation=few.truncation * np.float32(0.5)),
    }
    for attribute in original.attributes:
        columns, condition = slice(start, start + len(attribute.categories)), few.condition.copy()
        condition[:, columns] = np.roll(condition[:, columns], 1, axis=1)
        changed[f"The attribute {attribute.name}"] = replace(few, condition=condition)
        start = columns.stop
    without = [what for what, other in changed.items() if np.array_equal(original.run(other), first)]
    return [*range_notes(values, form), *(f"{what} changes nothing in an image." for what in without)]


def range_notes(values: Floats, form: Form) -> list[str]:
    outside = float(np.mean((values < form.low) | (values > form.high)))
    spread = float(values.max() - values.min()) / (form.high - form.low)
    seen = f"values from {values.min():.3g} to {values.max():.3g}"
    if outside > FAR_OUTSIDE:
        return [f"{outside:.0%} of the values lie outside of {form.range} and are cut off ({seen}): is --range right?"]
    if spread < NARROW or (form.low < 0 <= values.min()):
        return [f"The {seen} are a small part of {form.range}: is --range right?"]
    return []
