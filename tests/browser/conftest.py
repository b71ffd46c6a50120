"""A real browser for the pages that people read: Chromium of the system, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
LAPTOP, PHONE = (1280, 800), (375, 667)


@dataclass
class Watched:
    """A page of the browser, and what it did unseen.

    Attributes:
        page: of Playwright.
        complaints: errors of its console and of its scripts.
        requests: addresses that it asked for, those inside the page left out.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; skips aloud where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    as_root = ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)  # it refuses to start otherwise
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=as_root)
        yield browser
        browser.close()


@pytest.fixture
def watch(chromium: Any) -> Iterator[Any]:
    """`watch(size=PHONE, color_scheme="dark")` is a new page, `Watched`, in a profile of its own."""
    contexts = []

    def open_page(size: tuple[int, int] = LAPTOP, **options: Any) -> Watched:
        context = chromium.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), **options)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda said: said.type == "error" and watched.complaints.append(said.text))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        context.on("request", lambda one: one.url.startswith(("data:", "blob:")) or watched.requests.append(one.url))
        return watched

    yield open_page
    for context in contexts:
        context.close()
