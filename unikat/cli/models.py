"""`unikat models`: what can be drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from unikat.bundle import SAMPLES, BundleError, find_bundle, read_bundle
from unikat.cli import options
from unikat.cli.output import print_facts, stderr, stdout
from unikat.cli.problems import Problem, connect

if TYPE_CHECKING:
    from unikat.v1.model_pb2 import Model


def list_models(
    context: typer.Context,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """List the models that live workers serve."""
    if context.invoked_subcommand is not None:
        return
    with connect(target, tls, ca) as studio:
        models = studio.models()
    if not models:
        raise Problem(
            f"{target} answers, but no live worker serves a model", "Start a worker, or look with `unikat doctor`."
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
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Show what can be asked of a model, where it comes from, and how good it is.

    Where no service answers, a bundle in the models folder is read instead.
    """
    try:
        with connect(target, tls, ca) as studio:
            model = studio.model(name)
    except Problem as problem:
        found = _read_local(models, name)
        if found is None:
            raise
        stderr().print(f"No service says anything of it ({problem.message}); this is {models}.", style="dim")
        model = found
    samples = models / model.name / str(model.version) / SAMPLES
    _show(model, samples if samples.is_file() else None)


def _read_local(models: Path, reference: str) -> Model | None:
    try:
        found = find_bundle(models, reference)
        return read_bundle(found).model if found else None
    except (ValueError, BundleError):
        return None


def _show(model: Model, samples: Path | None) -> None:
    console = stdout()
    console.print(f"{model.name}@{model.version}", style="bold", markup=False)
    print_facts(_facts(model, samples))
    for attribute in model.attributes:
        console.print(f"\n{attribute.name}", style="bold", markup=False, end="")
        console.print(f"  {attribute.description}", style="dim", markup=False)
        for category in attribute.categories:
            console.print(f"  {category.name:<24} {category.count:>9,} images", markup=False)


def _facts(model: Model, samples: Path | None) -> list[tuple[str, str]]:
    facts = [
        ("description", model.description),
        ("image size", f"{model.width} x {model.height}"),
        ("default truncation", f"{model.default_truncation:g}"),
        ("licence", model.licence),
        ("digest", model.digest),
    ]
    facts += [("source", f"{s.name} ({s.licence}), {s.origin}. {s.credit}") for s in model.sources]
    if model.HasField("training"):
        run = model.training
        trained = f"{run.images_seen:,} images of {run.data_set} seen in {run.hours:.1f} h on {run.hardware}"
        facts.append(("training", trained))
    facts += [("measured", f"{m.name} = {m.value:.4g}  {m.description}") for m in model.metrics]
    if samples is not None:
        facts.append(("sample sheet", str(samples)))
    return facts
