"""What a person should know of a foreign generator: inputs without an effect, values outside of the range."""

import numpy as np

from unikat_training.importing.reading import Original
from unikat_training.importing.wrapping import Plan
from unikat_training.parity import Rows
from unikat_training.session import Floats

FAR_OUTSIDE = 0.05  # share of the values that are cut off
NARROW = 0.25  # of the range: where all values lie within so much of it, it may be another


def notes(original: Original, rows: Rows, values: Floats, plan: Plan) -> list[str]:
    """Sentences. `values` is what `original` gives for `rows`."""
    found = list(range_notes(values, plan))
    few = rows.take(np.arange(2))
    condition, first = few.condition, original.run(few)

    def changes(latent: Floats, condition: Floats, truncation: Floats) -> bool:
        return not np.array_equal(original.run(Rows(latent, condition, truncation, None)), first)

    if not changes(few.latent[::-1], condition, few.truncation):
        found.append("The latent changes nothing: every seed draws the same image.")
    if not changes(few.latent, condition, few.truncation * np.float32(0.5)):
        own = "its own truncation" if plan.has_truncation else "a latent that is drawn toward 0, which it normalises"
        found.append(f"Truncation changes nothing: the graph ignores {own}.")
    for block in plan.blocks:
        start = block.start
        for attribute in block.attributes:
            stop = start + len(attribute.categories)
            other = condition.copy()
            other[:, start:stop] = np.roll(other[:, start:stop], 1, axis=1)
            if stop - start > 1 and not changes(few.latent, other, few.truncation):
                found.append(f"The attribute {attribute.name} changes nothing.")
            start = stop
    return found


def range_notes(values: Floats, plan: Plan) -> list[str]:
    form = plan.form
    outside = float(np.mean((values < form.low) | (values > form.high)))
    spread = float(values.max() - values.min()) / (form.high - form.low)
    seen = f"values from {values.min():.3g} to {values.max():.3g}"
    if outside > FAR_OUTSIDE:
        return [f"{outside:.0%} of the values lie outside of {form.range} and are cut off ({seen}): is --range right?"]
    if spread < NARROW or (form.low < 0 <= values.min()):
        return [f"The {seen} are a small part of {form.range}: is --range right?"]
    return []
