"""The card of an imported model: what was said of it, what was found, and that nothing is known of its training."""

from collections.abc import Sequence
from dataclasses import dataclass

from unikat.v1.model_pb2 import Model
from unikat_training.evaluation.tables import table
from unikat_training.importing.reading import CHANNELS
from unikat_training.importing.wrapping import Plan


@dataclass(frozen=True)
class Imported:
    """What the manifest does not hold."""

    plan: Plan
    flags: str
    size: int  # bytes of the graph
    notes: Sequence[str]


def import_card(model: Model, imported: Imported) -> str:
    """Markdown."""
    sections = (heading(model, imported), inputs(imported), conditions(model), measured(model), limitations(imported))
    return "\n\n".join(sections) + "\n"


def heading(model: Model, imported: Imported) -> str:
    plan, form = imported.plan, imported.plan.form
    facts = [
        ("image", f"{form.width} x {form.height}, {CHANNELS[form.channels]}"),
        ("latent", f"{plan.latent} numbers, standard normal"),
        ("file", f"`generator.onnx`, {imported.size / 1e6:.1f} MB, no random numbers inside"),
        ("imported from", f"`{plan.foreign.path.name}`, `{plan.foreign.digest}`"),
        ("with", f"`unikat models import {imported.flags}`"),
        ("licence of the weights", model.licence),
    ]
    return f"""# {model.name}, version {model.version}

{model.description}

![samples](samples.png)

The sheet was drawn by `generator.onnx` from seed 0 and truncation {model.default_truncation:g}, without choosing among
the results. The model was **imported**: it was not trained by Unikat.

{table(("", ""), facts)}"""


def inputs(imported: Imported) -> str:
    plan, form = imported.plan, imported.plan.form
    rows = [(f"`{each.value}`", each.kind) for each in plan.inputs]
    truncation = "goes into the graph's own" if plan.has_truncation else "draws the latent toward its mean, 0"
    return f"""## The graph

{table(("input of the imported graph", "taken for"), rows)}

Its output `{plan.foreign.output}` is read as {form.layout}, {form.range}: cut to that range, rounded to 0..255.
Truncation {truncation}."""


def conditions(model: Model) -> str:
    if not model.attributes:
        return "## Conditions\n\nNone: this is an unconditional model."
    blends = {True: "no: the graph takes the number of a category", False: "yes"}
    rows = [
        (each.name, blends[each.exclusive], ", ".join(category.name for category in each.categories))
        for each in model.attributes
    ]
    return f"""## Conditions

{table(("attribute", "blends", "categories"), rows)}

How often each occurred in training is not known: one that a request leaves out is drawn with equal chances."""


def measured(model: Model) -> str:
    rows = [(metric.name, f"{metric.value:g}", metric.description) for metric in model.metrics]
    return f"## The graph, measured at import\n\n{table(('figure', 'value', 'what it is'), rows)}"


def limitations(imported: Imported) -> str:
    points = [
        "Nothing is known of the pictures that it was trained on: neither their licences, nor whether an image "
        "resembles one of them.",
        "The quality of the images and the accuracy of the conditions were not measured; look at the sheet.",
        *imported.notes,
    ]
    return "## Limitations\n\n" + "\n".join(f"- {point}" for point in points)
