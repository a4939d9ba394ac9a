"""The model card: what was measured and recorded, in words. Nothing here is known only to its author."""

import json

from unikat.bundle import RGBA
from unikat.licences import asks
from unikat.v1.model_pb2 import Model
from unikat_training.changes import parse_changes
from unikat_training.config import Config
from unikat_training.evaluation.release import ReleaseEvaluation
from unikat_training.graph import ExportedGenerator
from unikat_training.markdown import table
from unikat_training.recipe import recipe
from unikat_training.sampler import SMALL_CELL
from unikat_training.warm_start.origin import FROM
from unikat_training.weights import FP16_METRIC

GENERATORS = {
    "fastgan": "FastGAN-like generator",
    "r3gan": "R3GAN-like generator of residual blocks",
    "dcgan": "DCGAN generator of transposed convolutions",
    "plain": "generator of fully connected layers",
}


def model_card(model: Model, exported: ExportedGenerator, size: int, evaluation: ReleaseEvaluation, tools: str) -> str:
    """Markdown. `size` is that of the graph in bytes, `tools` the section on what its latents can be used for."""
    sections = (
        heading(model, exported, size),
        conditions(model),
        data(model),
        training(model),
        measured(model, evaluation),
        evaluation.section,
        tools,
        limitations(model, evaluation),
    )
    return "\n\n".join(sections) + "\n"


def heading(model: Model, exported: ExportedGenerator, size: int) -> str:
    parameters = sum(parameter.numel() for parameter in exported.parameters())
    planes = "RGBA, over any background or none" if model.channels == RGBA else "RGB"
    return f"""# {model.name}, version {model.version}

{model.description}

![samples](samples.png)

The sheet was drawn by `generator.onnx` with seed 0 and truncation {model.default_truncation:g}, one condition a row,
without choosing among the results.

| | |
| --- | --- |
| image | {model.width} x {model.height}, {planes} |
| latent | {model.latent_size} numbers, standard normal |
| network | {GENERATORS[config_of(model).generator]}, {parameters:,} parameters, {precision(model)} |
| file | `generator.onnx`, {size / 1e6:.1f} MB, no random numbers inside |
| licence of the weights | {model.licence} |"""


def precision(model: Model) -> str:
    for metric in model.metrics:
        if metric.name == FP16_METRIC:
            return f"fp16 weights, computed in fp32 (at most {metric.value:g} of 255 grey levels from fp32 weights)"
    return "fp32"


def config_of(model: Model) -> Config:
    recorded = json.loads(model.training.config)
    for name in ("changes", FROM):
        recorded.pop(name, None)
    return Config.recorded(recorded)


def changes_of(model: Model) -> str:
    """What the recipe does not say: it describes the settings of the end."""
    return "".join(f"\n{change}" for change in parse_changes(json.loads(model.training.config)))


def conditions(model: Model) -> str:
    if not model.attributes:
        return "## Conditions\n\nNone: this is an unconditional model."
    rows = [
        (a.name, a.description, ", ".join(f"{category.name} ({category.count:,})" for category in a.categories))
        for a in model.attributes
    ]
    intro = "## Conditions\n\nWith the number of training pictures of each category.\n\n"
    return intro + table(("attribute", "meaning", "categories"), rows)


def data(model: Model) -> str:
    run = model.training
    intro = (
        f"## Data\n\n{run.data_set}: trained on {run.images:,} pictures; digest of all its images `{run.data_digest}`."
    )
    if told := begun_from(model):
        intro += f"\n\n{told}"
    if not model.sources:
        return f"{intro} Their origin and licence were not recorded."
    rows = [(s.name, s.origin, s.licence, s.credit) for s in model.sources]
    asked = "".join(f"- {line}.\n" for line in asks(model))
    return f"""{intro}

{table(("source", "origin", "licence", "credit"), rows)}

What is asked of whoever shows, shares or sells a drawing:

{asked}
`unikat models show {model.name}@{model.version} --credits` prints the text to put beside it."""


def begun_from(model: Model) -> str:
    """What a model owes to the one that its training began from."""
    origin = json.loads(model.training.config).get(FROM)
    if origin is None:
        return ""
    licence = f", whose weights have the licence {origin['licence']}" if origin["licence"] else ""
    return (
        f"Training began from {origin['name']} (`{origin['digest']}`){licence}. What that was trained on is listed "
        "too: licences and credits of its sources go with this model."
    )


def training(model: Model) -> str:
    run, config = model.training, config_of(model)
    return f"""## Training

{run.images_seen:,} images shown in {run.hours:.2f} hours on {run.hardware}; exported is the exponential moving average
of the generator.

{recipe(config, model)}{changes_of(model)}

Configuration (preset `{config.preset}`):

```json
{run.config}
```"""


def measured(model: Model, evaluation: ReleaseEvaluation) -> str:
    """What was compared of the graph; the figures of `evaluation` have a section of their own."""
    quality = {metric.name for metric in evaluation.metrics}
    rows = [(each.name, f"{each.value:g}", each.description) for each in model.metrics if each.name not in quality]
    return f"## The graph, measured at export\n\n{table(('figure', 'value', 'what it is'), rows)}"


def limitations(model: Model, evaluation: ReleaseEvaluation) -> str:
    points = [f"Images are {model.width} x {model.height} pixels; nothing larger was learned."]
    if not evaluation.measured:
        points += [
            "The quality of the images was not measured by any metric; look at the sheet.",
            "Whether an image resembles a training picture was not measured.",
        ]
    if model.attributes:
        total = 1
        for attribute in model.attributes:
            total *= len(attribute.categories)
        few = sum(combination.count < SMALL_CELL for combination in model.combinations)
        recorded = sum(combination.count for combination in model.combinations)
        if recorded < model.training.images:
            points.append(
                f"The manifest has the combinations of {recorded:,} of {model.training.images:,} pictures: "
                "what a request leaves open is drawn from these."
            )
        elif len(model.combinations) < total:
            points.append(
                f"{len(model.combinations)} of {total} possible combinations of categories occur in the data; "
                "what is drawn for the others is extrapolated and may be anything."
            )
        if few and recorded >= model.training.images:
            points.append(f"{few} combinations have fewer than {SMALL_CELL} pictures: expect near copies of them.")
        if not evaluation.measured:
            points.append("The accuracy of the conditions was not measured.")
    lines = "\n".join(f"- {point}" for point in points)
    return f"## Limitations\n\n{lines}"
