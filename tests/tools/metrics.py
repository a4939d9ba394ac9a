"""The tables of docs/operations.md, from a scrape of all programs: `python -m tests.tools.metrics --write`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.figures import ROOT, write
from tests.end_to_end.shop import plan, running_shop
from tests.gallery.site import Site, Visitor, write_artist_pictures
from tests.provenance.registering import Owner, registering
from tests.support.processes import Program, eventually
from tests.support.scrapes import ANY_PORT, Scrape, scrape
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.errors import UnikatError

DOCUMENT: Final = ROOT / "docs" / "operations.md"
PROGRAMS: Final = ("service", "worker", "registry", "gallery")
NOBODY: Final = "nobody"  # a model that a caller asks for, and that there is not
PATHS: Final = ("/nothing/here", "/v1/models", "/static/index.html")  # that a visitor asks for, beside the first page
_OF_PROCESS: Final = ("process_",)


@contextmanager
def observed_programs(folder: Path) -> Iterator[dict[str, Program]]:
    """All programs with their numbers served, after a call, a refused one, a batch, a claim and a visit."""
    write_tiny_bundle(folder / "models", work=8000)  # slow enough that a few images show a rate
    (folder / "open").mkdir()
    with ExitStack() as exits:
        shop = exits.enter_context(running_shop(folder / "models", folder / "open", UNIKAT_METRICS=ANY_PORT))
        registry = exits.enter_context(registering(shop.stack, folder, metrics=ANY_PORT))
        site = Site(shop.stack, folder, metrics=ANY_PORT)
        write_artist_pictures(site.artist)
        site.start()
        exits.callback(site.stop)
        with Studio(shop.stack.target) as studio:
            assert len(list(studio.generate("tiny", count=16, seed=1))) == 16
            with suppress(UnikatError):
                studio.draw(NOBODY, seed=1)
        shop.finish("batch", plans=plan(4))
        with registry.client() as client:
            client.claim(Owner("Anna").claim(seed=7))
        visitor = Visitor(site).enter()
        for path in PATHS:
            visitor.ask("GET", path)
        assert shop.stack.service is not None
        assert registry.program is not None
        assert site.program is not None
        found = {"service": shop.stack.service, "worker": shop.stack.workers[0]}
        found |= {"registry": registry.program, "gallery": site.program}
        eventually(lambda: scrape(found["worker"]).total("unikat_worker_jobs_total", kind="close") == 1)
        eventually(lambda: scrape(found["service"]).by("unikat_queue_work_seconds", "model"))
        yield found


def tables(scrapes: Mapping[str, Scrape]) -> list[str]:
    """Markdown: of each program its families, without those of the process that all have."""
    lines: list[str] = []
    for program in PROGRAMS:
        lines += [f"### Of the {program}", "", "| name | kind | by | is |", "| --- | --- | --- | --- |"]
        for family in sorted(scrapes[program].families, key=lambda each: each.name):
            if family.name.startswith(_OF_PROCESS):
                continue
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
            by = ", ".join(f"`{label}`" for label in labels)
            lines.append(f"| `{name}` | {family.type} | {by} | {family.documentation} |")
        lines.append("")
    return lines[:-1]


def main() -> None:
    """Print the tables, and write where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.metrics", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/operations.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, observed_programs(Path(folder)) as programs:
        lines = tables({name: scrape(program) for name, program in programs.items()})
    print("\n".join(lines))
    if options.write:
        write("metrics", lines, DOCUMENT)


if __name__ == "__main__":
    main()
