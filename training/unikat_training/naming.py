"""Where a bundle is written: its folder says its name and version."""

from pathlib import Path

from unikat.bundle import parse_reference
from unikat_training.errors import TrainingError


def name_and_version(out: Path) -> tuple[str, int]:
    """`models/emoji/1` -> ("emoji", 1)."""
    out = out.absolute()
    try:
        name, _ = parse_reference(f"{out.parent.name}@{out.name}")
    except ValueError as error:
        raise TrainingError(
            f"--out: must end in a name (a-z 0-9 -) and a version, as in models/emoji/1, not {out}"
        ) from error
    if out.exists():
        raise TrainingError(f"--out: {out} is there already; a version is immutable, so choose the next one")
    return name, int(out.name)
