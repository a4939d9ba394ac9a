"""The card of an imported model: what was said of it, what was found, and that nothing is known of its training."""

from collections.abc import Sequence
from dataclasses import dataclass

from unikat.v1.model_pb2 import Model
from unikat_training.imported.original import CHANNELS, Form, Original
from unikat_training.markdown import table


@dataclass(frozen=True)
class Facts:
    """What neither manifest nor file hold."""

    flags: str
    size: int  # bytes of the wrapped graph
    notes: Sequence[str]


def import_card(model: Model, original: Original, form: Form, facts: Facts) -> str:
    """Markdown."""
    foreign = original.foreign
    about = [
        ("image", f"{form.width} x {form.height}, {CHANNELS[form.channels]}"),
        ("latent", f"{model.latent_size} numbers, standard normal"),
        ("file", f"`generator.onnx`, {facts.size / 1e6:.1f} MB, no random numbers inside"),
        ("imported from", f"`{foreign.path.name}`, `{foreign.digest}`"),
        ("with", f"`unikat models import {facts.flags}`"),
        ("author", model.author),
        ("licence of the weights", model.licence),
    ]
    inputs = [(f"`{each.value}`", each.kind) for each in original.inputs]
    truncation = "goes into the graph's own" if original.truncates else "draws the latent toward its mean, 0"
    measured = [(metric.name, f"{metric.value:g}", metric.description) for metric in model.metrics]
    notes = "".join(f"\n- {note}" for note in facts.notes)
    return f"""# {model.name}, version {model.version}

{model.description}

![samples](samples.png)

The sheet was drawn by `generator.onnx` from seed 0 and truncation {model.default_truncation:g}, without choosing among
the results. The model was **imported**: it was not trained by Unikat.

{table(("", ""), about)}

## The graph

{table(("input of the imported graph", "taken for"), inputs)}

Its output `{foreign.output}` is read as {form.layout}, {form.range}: cut to that range, rounded to 0..255.
Truncation {truncation}.

## Conditions

{conditions(model)}

## The graph, measured at import

{table(("figure", "value", "what it is"), measured)}

## Limitations

- Nothing is known of the pictures that it was trained on: neither their licences, nor whether an image resembles one.
- The quality of the images and the accuracy of the conditions were not measured; look at the sheet.{notes}
"""


def conditions(model: Model) -> str:
    if not model.attributes:
        return "None: this is an unconditional model."
    blends = {True: "no: the graph takes the number of a category", False: "yes"}
    rows = [
        (each.name, blends[each.exclusive], ", ".join(category.name for category in each.categories))
        for each in model.attributes
    ]
    return f"""{table(("attribute", "blends", "categories"), rows)}

How often each occurred in training is not known: one that a request leaves out is drawn with equal chances."""
