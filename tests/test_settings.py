"""docs/settings.md is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from tests.tools.settings import document

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_is_generated_from_the_declarations() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), "run: make settings"


def test_every_program_and_every_variable_of_the_readme_is_on_the_page() -> None:
    page = document()
    for title in ("unikat up", "unikat generate", "unikat models show", "unikat serve", "unikat work"):
        assert f"## `{title}`" in page
    for variable in ("UNIKAT_TARGET", "UNIKAT_REDIS_URL", "UNIKAT_LISTEN", "UNIKAT_MODELS", "UNIKAT_DEVICE"):
        assert f"| `{variable}` |" in page


def test_every_setting_says_what_it_is() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `-")]
    assert len(rows) > 40
    assert [row for row in rows if row.split(" | ")[-1].strip(" |") == ""] == []
