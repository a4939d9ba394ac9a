"""Debian's Chromium, driven by Playwright: a real browser for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

REQUIRED: Final = "UNIKAT_TEST_CHROMIUM"  # set to 1, tests fail where there is no Chromium
_ARGUMENTS: Final = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def binary() -> str | None:
    """The browser, where it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def is_wanted() -> bool:
    """Whether tests with a browser are collected."""
    return bool(binary() or os.environ.get(REQUIRED))


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser without a window."""
    found = binary()
    assert found, f"no chromium in PATH: install it, or do not set {REQUIRED}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        yield browser
        browser.close()
