"""`python -m benchmarks.batches.encryption`: what it costs to encrypt a batch; `--write` puts it into the README."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.batches.drawing import LAYOUTS, timed
from benchmarks.batches.progress import follow, seconds
from benchmarks.figures import ROOT, machine, newest, write
from benchmarks.programs import Reading
from tests.end_to_end.shop import Shop, plan, running_shop
from unikat.batches.decrypt import decrypt
from unikat.batches.storage_keys import StorageKeys
from unikat.batches.verify import verify
from unikat.bundle import key_of
from unikat.key_file import new_key_line
from unikat.v1 import batches_pb2 as pb

KEY: Final = "bench"
ROWS: Final = ("images/s", "worker, CPU ms an image", "MB of content", "verified, s", "decrypted, s")


def column(shop: Shop, name: str, layout: str, images: int, keys: StorageKeys | None) -> tuple[float, ...]:
    """The figures of one batch, in the order of the rows; nothing is decrypted where nothing is encrypted."""
    before = Reading.of(shop.stack)
    key_id = KEY if keys else ""
    batch = shop.create(name, plans=plan(images), layout=LAYOUTS[layout], encryption_key=key_id)
    ended = follow(shop.calls, batch, f"{images:,} images, {layout}, {'encrypted' if keys else 'plain'}")
    assert ended.state == pb.Batch.STATE_SUCCEEDED, ended
    cpu = Reading.of(shop.stack).cpu_ms(before, images)["worker"]
    folder = shop.open_folder / name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    report, verifying = timed(lambda: verify(str(folder), keys=keys or StorageKeys(None)))
    assert report.is_complete, report
    decrypting = 0.0
    if keys:
        done, decrypting = timed(lambda: decrypt(str(folder), str(folder) + "-clear", keys))
        assert not done.damaged
    return images / seconds(ended), cpu, size, verifying, decrypting


def table(shop: Shop, images: int, rounds: int, keys: StorageKeys) -> list[str]:
    """Medians; plain and encrypted batches take turns, since a machine's speed drifts."""
    heads, columns = [], []
    column(shop, "warm", "files", images, None)
    for layout in LAYOUTS:
        plain, sealed = [], []
        for round in range(rounds):
            plain.append(column(shop, f"plain-{layout}-{round}", layout, images, None))
            sealed.append(column(shop, f"sealed-{layout}-{round}", layout, images, keys))
        heads += [layout, f"{layout}, encrypted"]
        columns += [[statistics.median(values) for values in zip(*each, strict=True)] for each in (plain, sealed)]
    lines = [f"| {images:,} images, {rounds} times | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for row, name in enumerate(ROWS):
        lines.append(f"| {name} | " + " | ".join(f"{each[row]:,.2f}" if each[row] else "–" for each in columns) + " |")
    return lines


def main(
    images: Annotated[int, typer.Option(help="Images of a batch.", min=1)] = 2000,
    rounds: Annotated[int, typer.Option(help="Batches of each kind.", min=1)] = 4,
    model: Annotated[str, typer.Option(help="Its newest version draws.")] = "emoji",
    do_write: Annotated[bool, typer.Option("--write", help="Write the figures into benchmarks/README.md.")] = False,
) -> None:
    """Draw the same batches with and without encryption."""
    bundle = newest(ROOT / "models", model)
    with tempfile.TemporaryDirectory() as folder:
        file, open_folder = Path(folder) / "keys", Path(folder) / "open"
        open_folder.mkdir()
        file.touch(0o600)
        file.write_text(new_key_line(KEY))
        name, models = key_of(bundle.model), ROOT / "models"
        with running_shop(models, open_folder, name, UNIKAT_THREADS="0", UNIKAT_STORAGE_KEYS=str(file)) as shop:
            lines = [machine(bundle) + ".", "", *table(shop, images, rounds, StorageKeys(file))]
    print("\n".join(lines))
    if do_write:
        write("encryption", lines)


if __name__ == "__main__":
    typer.run(main)
