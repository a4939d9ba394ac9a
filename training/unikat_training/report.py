"""A run on one page: `report.html`, self-contained, and the timelapse of its sheets."""

import base64
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from unikat_training.checkpoint import BEST, best_figure, checkpoints
from unikat_training.config import load_config
from unikat_training.environment import ENVIRONMENT
from unikat_training.metrics import WARNINGS, read_metrics, read_rows
from unikat_training.quality import NAME
from unikat_training.recorder import CURVES, SHEETS

REPORT = "report.html"
TIMELAPSE = "timelapse.webp"
FRAMES = 60  # of the timelapse, evenly chosen
FRAME_MS = 150
LAST_FRAME_MS = 2000
WIDEST = 640  # pixels of a frame

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% } .warning { background: #fff3cd; padding: .5em 1em }
"""


def write_report(run: Path) -> Path:
    """Writes timelapse and report from what the run's folder holds. Raises TrainingError for what is no run."""
    config, dataset = load_config(run)
    sheets = sorted((run / SHEETS).glob("*.png"))
    if len(sheets) > 1:
        write_timelapse(sheets, run / TIMELAPSE)
    metrics = read_metrics(run)
    warnings = [f"after {row['images']:,} images, {row['kind']}: {row['message']}" for row in read_rows(run / WARNINGS)]
    parts = [
        f"<h1>{html.escape(run.absolute().name)}</h1>",
        f"<p>Preset {html.escape(config.preset)} on {html.escape(dataset['name'])}.</p>",
        *(f'<p class="warning">{html.escape(text)}</p>' for text in warnings),
        *section("The last sheet: rows are conditions, columns latents", sheets[-1:]),
        *section("From the first sheet to the last", [run / TIMELAPSE]),
        *section("Curves", [run / CURVES]),
        "<h2>The last figures</h2>",
        table(metrics[-1] if metrics else {}),
        *best_of(run),
        "<h2>Configuration</h2>",
        table(vars(config)),
        "<h2>Environment</h2>",
        table(json.loads((run / ENVIRONMENT).read_text())),
    ]
    page = f'<!doctype html><meta charset="utf-8"><title>{html.escape(run.absolute().name)}</title>'
    scratch = run / f".{REPORT}"
    scratch.write_text(f"{page}<style>{STYLE}</style>\n" + "\n".join(parts) + "\n", encoding="utf-8")
    return scratch.replace(run / REPORT)


def section(title: str, pictures: Iterable[Path]) -> list[str]:
    """A heading and those of the pictures that are there, their bytes in the page."""
    found = [path for path in pictures if path.exists()]
    sources = [
        f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}" for path in found
    ]
    return [f"<h2>{title}</h2>", *(f'<img alt="{title}" src="{source}">' for source in sources)] if found else []


def table(values: Mapping[str, object]) -> str:
    rows = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(shown(v))}</td></tr>" for name, v in values.items())
    return f"<table>{''.join(rows)}</table>"


def shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def best_of(run: Path) -> list[str]:
    found = checkpoints(run, BEST)
    if not found:
        return []
    return [f"<p>The best checkpoint is {found[-1].name}: {NAME} {best_figure(run):.4g} (lower is better).</p>"]


def write_timelapse(sheets: list[Path], path: Path) -> None:
    """An animation of the sheets, all as large as the last."""
    count = min(FRAMES, len(sheets))
    chosen = [sheets[round(index * (len(sheets) - 1) / max(count - 1, 1))] for index in range(count)]
    frames = [Image.open(sheet).convert("RGB") for sheet in chosen]
    width, height = frames[-1].size
    factor = min(1.0, WIDEST / width)
    size = (round(width * factor), round(height * factor))
    frames = [frame.resize(size) for frame in frames]
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    scratch = path.with_suffix(".tmp")
    frames[0].save(scratch, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=60)
    scratch.replace(path)
