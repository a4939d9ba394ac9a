"""`python -m tests.fuzz.reached TARGET FOLDER...`: lines of the target's modules that the inputs there reach."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import coverage

from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *folders = sys.argv[1:]
    target = TARGETS[name]
    files = [str(import_module(module).__file__) for module in target.modules]
    measured = coverage.Coverage(data_file=None, include=files)
    measured.start()
    for folder in folders:
        for content in sorted(Path(folder).glob("*")):
            target(content.read_bytes())
    measured.stop()
    parts = []
    for module, file in zip(target.modules, files, strict=True):
        _, lines, _, missing, _ = measured.analysis2(file)
        inside = _inside_functions(file)
        reachable = inside.intersection(lines)
        parts.append(f"{module.rpartition('.')[2]} {len(reachable.difference(missing))}/{len(reachable)}")
    print(", ".join(parts))


def _inside_functions(file: str) -> set[int]:
    """Lines of functions' bodies: the others ran when the module was imported, before anything was measured."""
    import ast

    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                found.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return found


if __name__ == "__main__":
    main()
