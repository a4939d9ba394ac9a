"""From an ONNX generator of others to a bundle: read, wrapped, compared with the original, described, written."""

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from unikat.bundle import CARD, GRAPH, RGBA, SAMPLES, Bundle, check_model, write_bundle
from unikat.conditions import choices
from unikat.sampling import latents
from unikat.sheet import Sheet
from unikat.v1.model_pb2 import Attribute, BundleFile, Model
from unikat_training.errors import TrainingError
from unikat_training.imported.card import Facts, import_card
from unikat_training.imported.foreign import load_foreign
from unikat_training.imported.inputs import guess_inputs, parse_told
from unikat_training.imported.labels import blocks_of, combinations, load_labels
from unikat_training.imported.notes import notes
from unikat_training.imported.original import CHANNELS, Form, Layout, Original, Range, form_of, pixels
from unikat_training.imported.wrapper import wrap
from unikat_training.naming import name_and_version
from unikat_training.parity import (
    BATCHES,
    CHECK_SEED,
    THREADS,
    TOLERANCE,
    Parity,
    Rows,
    alternating,
    backgrounds,
    compare,
)
from unikat_training.session import Floats, open_graph, run_graph

SAMPLE_SEED = 0
REFERENCE = (
    "between the imported file, run image by image, with its output made an image by NumPy, and the wrapped graph"
)
ALONE = "A batch is drawn image by image: the file is made for batches of one, or mixes the images of a batch."
# Seconds an image -> images that are compared, rows and columns of the sheet: an import is a matter of a minute or two.
EFFORTS = ((0.05, 32, 8), (0.5, 8, 6), (float("inf"), 4, 4))


@dataclass(frozen=True)
class Request:
    """What the one who imports says of the file."""

    path: Path
    out: Path  # the bundle
    licence: str  # of the weights, SPDX
    author: str
    range: Range
    layout: Layout | None = None
    latent: int | None = None  # numbers
    labels: Path | None = None
    inputs: tuple[str, ...] = ()  # "name=kind"
    output: str | None = None
    description: str = ""
    truncation: float = 1.0  # where a request names none


@dataclass(frozen=True)
class Reading:
    """A file, and what it draws of some rows."""

    original: Original
    form: Form
    rows: Rows
    values: Floats  # its output as it is
    side: int  # rows and columns of the sheet


def import_generator(request: Request, tell: Callable[[str], object] = lambda text: None) -> Bundle:
    """Writes the bundle; `tell` is told what was guessed and found.

    Raises TrainingError for what cannot be served or guessed, BundleError or FileExistsError where writing fails.
    """
    name, version = name_and_version(request.out)
    if not 0 <= request.truncation <= 2:
        raise TrainingError(f"--truncation: must be 0 to 2, not {request.truncation}")
    if not (request.licence.strip() and request.author.strip()):
        raise TrainingError("--licence and --author: say under which licence the weights are, and whose they are")
    reading = read(request, tell)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / GRAPH
        parity, alone = write_compared(reading, graph)
        found = [ALONE] if alone else []
        found += notes(reading.original, reading.rows, reading.values, reading.form)
        for note in found:
            tell(f"note: {note}")
        model = describe(reading, request, parity)
        model.name, model.version = name, version
        card = import_card(model, reading.original, reading.form, Facts(flags_of(request), graph.stat().st_size, found))
        sheet = samples(graph, model, reading.side)
        return write_bundle(request.out, model, {GRAPH: graph, SAMPLES: sheet, CARD: card.encode()})


def read(request: Request, tell: Callable[[str], object]) -> Reading:
    """Reads and runs the file."""
    foreign = load_foreign(request.path, request.output)
    inputs = guess_inputs(foreign.inputs, request.latent, parse_told(request.inputs))
    for each in inputs:
        tell(f"input {each.value}: {each.kind}")
    blocks = blocks_of(inputs, load_labels(request.labels) if request.labels else None, foreign.model.graph)
    original = Original(foreign, inputs, blocks)
    check_names(original.attributes, request.labels or request.path)
    for attribute in original.attributes:
        tell(f"attribute {attribute.name}: {choices([each.name for each in attribute.categories], 10)}")
    rows, side = probes(original)
    values = original.run(rows)
    form = form_of(values, request.layout, request.range)
    size = f"{form.width} x {form.height}, {CHANNELS[form.channels]}"
    tell(f"output {foreign.output}: {form.layout}, {size}, from {values.min():.3g} to {values.max():.3g}")
    rows = replace(rows, background=backgrounds(len(rows))) if form.alpha else rows
    return Reading(original, form, rows, values, side)


def check_names(attributes: Sequence[Attribute], source: Path) -> None:
    """Raises BundleError for names that no bundle may have, before anything is measured."""
    model = Model(name="imported", version=1, format_version=1, width=1, height=1, latent_size=1)
    model.attributes.extend(attributes)
    model.combinations.extend(combinations(attributes))
    model.files.append(BundleFile(path=GRAPH, digest=f"sha256:{0:064x}"))
    check_model(model, source)


def probes(original: Original) -> tuple[Rows, int]:
    """What file and wrapped graph are compared on, and the rows of the sheet: fewer where an image takes long."""
    count = EFFORTS[0][1]
    latent = latents(CHECK_SEED, range(count), original.widths["latent"])
    rows = Rows(latent, conditions_of(original.attributes, count), alternating(count), None)
    original.run(rows.take([0]))  # the first run allocates
    begun = time.thread_time()  # its one thread is this one: what else the machine does is not counted
    original.run(rows.take([0]))
    seconds = time.thread_time() - begun
    _, count, side = next(effort for effort in EFFORTS if seconds <= effort[0])
    return rows.take(np.arange(count)), side


def conditions_of(attributes: Sequence[Attribute], count: int) -> Floats:
    """Every category in turn, (count, C); every fourth is half and half with the next one where blends are possible."""
    blocks = []
    for attribute in attributes:
        width = len(attribute.categories)
        block = np.eye(width, dtype=np.float32)[np.arange(count) % width]
        if not attribute.exclusive:
            block[3::4] = (block[3::4] + np.roll(block[3::4], 1, axis=1)) / 2
        blocks.append(block)
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((count, 0), dtype=np.float32)


def write_compared(reading: Reading, graph: Path) -> tuple[Parity, bool]:
    """Writes the wrapped graph; whether it draws a batch image by image, which is tried where whole batches fail."""
    expected = pixels(reading.values, reading.form, reading.rows.background)
    sizes = [size for size in BATCHES if size <= len(reading.rows)]
    trouble = []
    for alone in (False, True):
        try:
            onnx.save(wrap(reading.original, reading.form, alone), graph)
            parity = compare(graph, reading.rows, expected, dict.fromkeys(THREADS, sizes))
        except Exception as error:  # ONNX Runtime's own types share no base but Exception
            trouble.append(str(error).strip().splitlines()[0])
            continue
        apart = max(parity.max_grey_levels, *parity.apart.values())
        if apart <= TOLERANCE:
            return parity, alone
        trouble.append(f"differs by {apart} grey levels of 255")
    raise TrainingError(
        f"{reading.original.foreign.path}: wrapped, it does not draw what it draws alone: in batches, {trouble[0]}; "
        f"image by image, {trouble[1]}"
    )


def describe(reading: Reading, request: Request, parity: Parity) -> Model:
    """The manifest, but for name, version and files."""
    form, attributes, digest = reading.form, reading.original.attributes, reading.original.foreign.digest
    created = Timestamp()
    created.GetCurrentTime()
    what = request.description or f"An imported generator of {form.width} x {form.height} images"
    return Model(
        description=f"{what.rstrip('.')}, from {request.path.name}, {digest}.",
        width=form.width,
        height=form.height,
        latent_size=reading.original.widths["latent"],
        channels=form.shape[2],
        attributes=attributes,
        combinations=combinations(attributes),
        default_truncation=request.truncation,
        licence=request.licence,
        author=request.author,
        metrics=parity.metrics(REFERENCE),
        create_time=created,
    )


def flags_of(request: Request) -> str:
    """What was typed of how the file is to be read, but for where files lie."""
    told = ("latent", "layout", "range", "labels", "output", "truncation")
    given = [(name, getattr(request, name)) for name in told] + [("input", each) for each in request.inputs]
    words = [(name, value.name if isinstance(value, Path) else value) for name, value in given if value is not None]
    return " ".join([request.path.name, *(f"--{name} {value}" for name, value in words)])


def samples(graph: Path, model: Model, side: int) -> bytes:
    """The sample sheet, drawn by the graph itself: `side` images a row, a row for each of as many categories."""
    session = open_graph(graph)
    most = max((len(attribute.categories) for attribute in model.attributes), default=side)
    count = min(side, most)
    whole = [Attribute(categories=each.categories, exclusive=True) for each in model.attributes]
    nothing = np.zeros((1, RGBA), dtype=np.float32) if model.channels == RGBA else None
    sheet = [
        [
            Image.fromarray(run_graph(session, latent[None], condition[None], model.default_truncation, nothing)[0])
            for latent in latents(SAMPLE_SEED, range(row * side, (row + 1) * side), model.latent_size)
        ]
        for row, condition in enumerate(conditions_of(whole, count))
    ]
    names = [" ".join(each.categories[row % len(each.categories)].name for each in whole) for row in range(count)]
    buffer = io.BytesIO()
    Sheet(sheet, row_labels=names if whole else ()).draw().save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
