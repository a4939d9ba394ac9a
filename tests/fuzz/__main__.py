"""`make fuzz`: every target by atheris from the corpus on, then the lines of its modules that all inputs reach.

What atheris finds new stays below the folder `--found`, so that a next run goes on from there; `--keep` puts the
smallest inputs that cover as much into the repository's corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
WORDS: Final = Path(__file__).parent / "words.txt"
KEPT: Final = 100  # inputs of a target in the repository


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"which, of {', '.join(TARGETS)}; all if none is named")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs a target")
    parser.add_argument("--found", type=Path, default=Path("out/fuzz"), help="folder for new inputs and for crashes")
    parser.add_argument("--keep", action="store_true", help="put what covers more into the repository's corpus")
    options = parser.parse_args()
    print("| decoder | inputs | inputs/s | peak memory beyond its start (MB) | lines reached | result |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    results = [fuzzed(name, options.runs, options.found / name) for name in options.targets or TARGETS]
    if options.keep:
        for name in options.targets or TARGETS:
            keep(name, options.found / name)
    return 0 if all(results) else 1


def fuzzed(name: str, runs: int, found: Path) -> bool:
    """Run a target and print its line of the table; whether no input was a finding."""
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), *(str(folder) for folder in [CORPUS / name] if folder.is_dir())]
    flags = [f"-runs={runs}", f"-dict={WORDS}", f"-artifact_prefix={found.parent}/{name}-", "-print_final_stats=1"]
    begun = time.monotonic()
    words = [sys.executable, "-m", "tests.fuzz.run", name, *folders, *flags]
    # Arrow's own pool reserves far more addresses than it uses, which a limit counts.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    took = time.monotonic() - begun
    (found.parent / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    inputs, peak, start = (
        int(match[1]) if (match := re.search(pattern, done.stderr)) else 0
        for pattern in (r"number_of_executed_units: (\d+)", r"peak_rss_mb:\s+(\d+)", r"begins with (\d+) MB")
    )
    result = "no finding" if done.returncode == 0 else f"exit {done.returncode}: see {found.parent}/{name}.log"
    lines = reached(name, folders)
    print(f"| {name} | {inputs:,} | {inputs / took:,.0f} | {peak - start} | {lines} | {result} |", flush=True)
    return done.returncode == 0


def reached(name: str, folders: list[str]) -> str:
    """Lines of the target's modules that the inputs in some folders reach, counted in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.reached", name, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"not known: {done.stderr[-200:]}"


def keep(name: str, found: Path) -> None:
    """Merge what was found into the repository's corpus, the smallest inputs first."""
    merged = found.parent / f"{name}-merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    command = [sys.executable, "-m", "tests.fuzz.run", name, "-merge=1", str(merged), str(CORPUS / name), str(found)]
    subprocess.run(command, capture_output=True, check=True)
    target = CORPUS / name
    there = {file.read_bytes() for file in target.glob("*")}
    found_again = sorted(merged.glob("*"), key=lambda file: file.stat().st_size)
    if not found_again:
        raise RuntimeError(f"{name}: the merge kept nothing, not even what was there")
    for file in found_again[:KEPT]:
        if file.read_bytes() not in there:
            shutil.copyfile(file, target / file.name[:16])


if __name__ == "__main__":
    sys.exit(main())
