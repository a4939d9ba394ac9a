"""The model card: what was measured and recorded, in words. Nothing here is known only to its author."""

from collections.abc import Iterable

from training.graph import Artist
from training.sampler import SMALL_CELL
from unikat.v1.model_pb2 import Model

FEATURES = "EfficientNet-Lite0 (ImageNet weights, Apache-2.0, frozen; not part of the model)"


def model_card(model: Model, artist: Artist, size: int) -> str:
    """Markdown. `size` is that of the graph in bytes."""
    sections = (
        heading(model, artist, size),
        conditions(model),
        data(model),
        training(model),
        measured(model),
        limitations(model),
    )
    return "\n\n".join(sections) + "\n"


def heading(model: Model, artist: Artist, size: int) -> str:
    parameters = sum(parameter.numel() for parameter in artist.parameters())
    return f"""# {model.name}, version {model.version}

{model.description}

![samples](samples.png)

The sheet was drawn by `generator.onnx` with seed 0 and truncation {model.default_truncation:g}, one condition a row,
without choosing among the results.

| | |
| --- | --- |
| image | {model.width} x {model.height}, RGB |
| latent | {model.latent_size} numbers, standard normal |
| network | FastGAN-like generator, {parameters:,} parameters, fp32 |
| file | `generator.onnx`, {size / 1e6:.1f} MB, no random numbers inside |
| licence of the weights | {model.licence} |"""


def conditions(model: Model) -> str:
    if not model.attributes:
        return "## Conditions\n\nNone: this is an unconditional model."
    rows = [
        f"| {attribute.name} | {attribute.description} | "
        + ", ".join(f"{category.name} ({category.count:,})" for category in attribute.categories)
        + " |"
        for attribute in model.attributes
    ]
    return table(
        "## Conditions\n\nWith the number of training pictures of each category.",
        ("attribute", "meaning", "categories"),
        rows,
    )


def data(model: Model) -> str:
    rows = [f"| {s.name} | {s.origin} | {s.licence} | {s.credit} |" for s in model.sources]
    run = model.training
    intro = f"## Data\n\n{run.data_set}: {run.images:,} pictures, images digest `{run.data_digest}`."
    if not rows:
        return f"{intro} Their origin and licence were not recorded."
    return table(intro, ("source", "origin", "licence", "credit"), rows)


def table(intro: str, columns: tuple[str, ...], rows: Iterable[str]) -> str:
    head = f"| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |"
    return "\n".join((f"{intro}\n\n{head}", *rows))


def training(model: Model) -> str:
    run = model.training
    return f"""## Training

{run.images_seen:,} images shown in {run.hours:.2f} hours on {run.hardware}; exported is the exponential moving average
of the generator. The discriminator looks at {FEATURES}; hinge loss (`mismatch` weighs real images with
a wrong condition, which count as fake), DiffAugment, sampling balanced over rare combinations. Configuration:

```json
{run.config}
```"""


def measured(model: Model) -> str:
    rows = [f"| {metric.name} | {metric.value:g} | {metric.description} |" for metric in model.metrics]
    return table("## Measured at export", ("figure", "value", "what it is"), rows)


def limitations(model: Model) -> str:
    points = [
        "The quality of the images was not measured by any metric; look at the sheet.",
        f"Images are {model.width} x {model.height} pixels; nothing larger was learned.",
        "Whether an image resembles a training picture was not examined.",
    ]
    if model.attributes:
        total = 1
        for attribute in model.attributes:
            total *= len(attribute.categories)
        few = sum(combination.count < SMALL_CELL for combination in model.combinations)
        points.append(
            f"{len(model.combinations)} of {total} possible combinations of categories occur in the data; "
            "what is drawn for the others is extrapolated and may be anything."
        )
        if few:
            points.append(f"{few} combinations have fewer than {SMALL_CELL} pictures: expect near copies of them.")
        points.append("How faithfully images obey their condition was not measured.")
    lines = "\n".join(f"- {point}" for point in points)
    return f"## Limitations\n\n{lines}"
