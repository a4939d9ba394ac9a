"""`unikat models`: what can be drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from google.protobuf import json_format
from rich.table import Table
from rich.text import Text

from unikat.bundle import RGBA, SAMPLES, BundleError, find_bundle, read_bundle
from unikat.cli import options
from unikat.cli.output import print_facts, print_json, stderr, stdout
from unikat.cli.problems import Problem, connect
from unikat.licences import asks, asks_briefly, credits

if TYPE_CHECKING:
    from unikat.v1.model_pb2 import Attribute, Model

_HEADLINE: Final = ("KID in", "Fréchet distance in", "coverage in", "near copies")
_ACCURACY: Final = "condition accuracy, "
_REAL: Final = re.compile(r"real pictures: ([\d.e+-]+)")  # the figure that a metric's description ends with


def list_models(
    context: typer.Context,
    at: options.Service = options.SERVICE,
) -> None:
    """List the models that live workers serve."""
    if context.invoked_subcommand is not None:
        return
    with connect(at) as studio:
        models = studio.models()
    if not models:
        raise Problem(
            f"{at.target} answers, but no live worker serves a model", "Start a worker, or look with `unikat doctor`."
        )
    table = Table("model", "size", "attributes", "licence", "description", box=None, pad_edge=False)
    for model in models:
        attributes = ", ".join(f"{a.name} ({len(a.categories)})" for a in model.attributes) or "none"
        size = f"{model.width}x{model.height}"
        table.add_row(f"{model.name}@{model.version}", size, attributes, model.licence, Text(model.description))
    stdout().print(table, soft_wrap=False)


def show_model(
    name: options.Reference,
    models: options.Models = options.DEFAULT_MODELS,
    everything: Annotated[
        bool, typer.Option("--all", help="All that was measured, every source, the pictures of each category.")
    ] = False,
    credit: Annotated[
        bool, typer.Option("--credits", help="Only the text that names whom the licences ask to be named.")
    ] = False,
    as_json: options.AsJson = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Show what can be asked of a model, where it comes from, how good it is, and what its licences ask.

    Where no service answers, a bundle in the models folder is read instead.
    """
    try:
        with connect(at) as studio:
            model = studio.model(name)
    except Problem as problem:
        found = _read_local(models, name)
        if found is None:
            raise
        said = problem.message.partition(" (")[0]  # gRPC's own words tell nobody more
        stderr().print(Text(f"No service says anything of it ({said}); this is what {models} has.", style="dim"))
        model = found
    if as_json:
        print_json(json_format.MessageToDict(model, preserving_proto_field_name=True))
        return
    if credit:
        stdout().print(credits(model), markup=False, soft_wrap=True)
        return
    samples = models / model.name / str(model.version) / SAMPLES
    _show(model, samples if samples.is_file() else None, everything)


def _read_local(models: Path, reference: str) -> Model | None:
    try:
        found = find_bundle(models, reference)
        return read_bundle(found).model if found else None
    except (ValueError, BundleError):
        return None


def _show(model: Model, samples: Path | None, everything: bool) -> None:
    console = stdout()
    console.print(f"{model.name}@{model.version}", style="bold", markup=False)
    facts = _facts(model, samples, everything)
    if not everything:
        asked = [(a.name, ", ".join(c.name for c in a.categories) + _blends(a)) for a in model.attributes]
        print_facts([*facts, *asked])
        return
    print_facts(facts)
    console.print()
    for attribute in model.attributes:
        console.print(attribute.name, style="bold", markup=False, end="")
        console.print(f"  {attribute.description}{_blends(attribute)}", style="dim", markup=False)
        for category in attribute.categories:
            counted = f" {category.count:>9,} images" if category.count else ""
            console.print(f"  {category.name:<24}{counted}".rstrip(), markup=False)


def _blends(attribute: Attribute) -> str:
    return " (one an image: no blends)" if attribute.exclusive else ""


def _facts(model: Model, samples: Path | None, everything: bool) -> list[tuple[str, str]]:
    alpha = ", with alpha" if model.channels == RGBA else ""
    facts = [
        ("description", model.description),
        ("images", f"{model.width} x {model.height}{alpha}; default truncation {model.default_truncation:g}"),
        ("author", model.author),
        *[("licence", line) for line in (asks(model) if everything else asks_briefly(model))],
    ]
    if everything and model.HasField("training"):
        run = model.training
        trained = f"{run.images_seen:,} images of {run.data_set} seen in {run.hours:.1f} h on {run.hardware}"
        facts.append(("training", trained))
    facts += [("quality", line) for line in _quality(model)] if not everything else []
    if model.directions:
        told = ", ".join(f"{each.name} ({each.strength:.3g})" for each in model.directions)
        facts.append(("directions", f"{told}: grey levels that a move of one standard deviation changes"))
    if everything:
        facts.append(("digest", model.digest))
        facts += [("source", f"{s.name} ({s.licence}), {s.origin}. {s.credit}") for s in model.sources]
        facts += [("measured", f"{m.name} = {m.value:.4g}  {m.description}") for m in model.metrics]
    if samples is not None:
        facts.append(("sample sheet", str(samples)))
    return facts


def _quality(model: Model) -> list[str]:
    """The figures of the default truncation that a card begins with, a line each, and all accuracies in one."""
    at = f" (truncation {model.default_truncation:g})"
    told: dict[str, str] = {}  # of several extractors the one that was asked first
    accuracies = []
    for metric in model.metrics:
        name, beside = metric.name.removesuffix(at), _REAL.search(metric.description)
        if name == metric.name or beside is None:
            continue
        if name.startswith(_ACCURACY):
            accuracies.append(f"{name.removeprefix(_ACCURACY)} {metric.value:.0%} ({float(beside[1]):.0%})")
        elif (headline := next((head for head in _HEADLINE if name.startswith(head)), None)) and headline not in told:
            told[headline] = f"{headline.removesuffix(' in')}: {metric.value:.3g} (real pictures: {beside[1]})"
    lines = list(told.values())
    if accuracies:
        lines.append(f"conditions recognised (in real ones): {', '.join(accuracies)}")
    return lines or ["nothing was measured"]
