"""The report as people meet it: on a laptop, on a phone, in the dark, by ear."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest

from paperlib import paper
from paperlib.experiments.artefacts import ClaimResult, Column, TableData
from paperlib.profiles import Profile
from tests.browser.conftest import LAPTOP, PHONE
from tests.unit import cli_samples

SCHEMES = ("light", "dark")


def table(number: int, profile: Profile) -> TableData:
    """A table of the paper's shape, whose numbers are the published ones and about them."""
    lines = paper.TABLES[number]
    names = list(dict.fromkeys(column for line in lines for column in line.values))
    about = {"sd": 0.004, "n": 500, "ranked": True}
    cells = pd.DataFrame(
        {"section": line.section, "method": line.method, "dataset": dataset, "metric": metric, **about, "published": value}
        for line in lines
        for (dataset, metric), value in line.values.items()
    )
    published = cells["published"]
    cells = cells.assign(value=published + 0.01, low=published - 0.02, high=published + 0.03)
    columns = tuple(
        Column(dataset, metric, -1 if metric == "KLD" else 1, f"{metric} {'↓' if metric == 'KLD' else '↑'}")
        for dataset, metric in names
    )
    note = "A note under the table, long enough that it takes more than one line on a narrow screen."
    caption = "Published numbers, moved a little."
    return TableData(f"table{number}", f"Table {'I' * number}: made up", caption, columns, cells, (note,))


def claims(profile: Profile) -> list[ClaimResult]:
    """Made-up outcomes with the words of the paper."""
    return [replace(claim, text=paper.CLAIMS[claim.id].text) for claim in cli_samples.claims(profile)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of a whole run lies; one notebook of it failed."""
    _, page = cli_samples.whole_run(tmp_path_factory.mktemp("report"), table, claims)
    return page.as_uri()


def test_titles_tables_pictures_and_links(address: str, watch: Any) -> None:
    page = (watched := watch()).page
    page.goto(address)
    assert page.title() and page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    levels = [int(name[1]) for name in page.eval_on_selector_all("h1,h2,h3,h4", "all => all.map(one => one.localName)")]
    assert levels[0] == 1 and max(np.diff(levels)) <= 1, "no level of headings is left out"
    tables = page.locator("table")
    assert tables.count() >= 3
    for one in tables.all():
        name = one.evaluate("one => (one.caption?.textContent ?? one.closest('[aria-label]')?.ariaLabel ?? '').trim()")
        assert name and one.locator("th[scope=col], th[scope=colgroup]").count(), one.inner_text()[:200]
    for picture in page.locator("img").all():
        assert len(picture.get_attribute("alt")) > 20
        assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 300
    links = page.eval_on_selector_all("a", "all => all.map(one => one.href)")
    local = [link for link in links if link.startswith("file:")]
    for link in local:
        inside = "#" in link and page.locator(f"[id='{link.partition('#')[2]}']").count()
        assert inside or Path(url2pathname(urlsplit(link).path)).is_file(), link
    assert any(link.endswith("03a_extracting.html") for link in local)
    assert watched.complaints == [] and watched.requests == [address]


def test_a_click_on_a_heading_sorts_the_table(address: str, watch: Any) -> None:
    page = watch().page
    page.goto(address)
    shown = page.locator("table", has=page.locator("thead button"), has_text="FracCP")
    head = shown.locator("thead tr").last.locator("th").nth(1)

    def column() -> list[float]:
        cells = shown.locator("tbody tr td:nth-child(2)").all_inner_texts()
        return [float(text.split()[0].rstrip("†")) for text in cells]

    first = column()
    assert len(first) == len(paper.TABLE3) and first != sorted(first)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending" and column() == sorted(first)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending" and column() == sorted(first, reverse=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_everybody_can_read_it(address: str, watch: Any, size: tuple[int, int], scheme: str, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = watch(size, color_scheme=scheme).page
    page.goto(address)
    page.screenshot(path=tmp_path / f"report-{scheme}-{size[0]}.png", full_page=True)
    found = axe.Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    bad = {one["id"]: [node["html"][:120] for node in one["nodes"]] for one in serious}
    assert bad == {}
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"the page itself scrolls sideways by {wider} pixels"
    light = sum(map(int, page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)")))
    assert (light > 600) == (scheme == "light")


def test_what_the_checks_would_find(watch: Any) -> None:
    """A page without any care: the checks above are no decoration."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    watched = watch(PHONE)
    careless = "<img src='data:,'><p style='width: 900px; color: #ddd'>pale</p><script>nothing()</script>"
    watched.page.set_content(careless)
    impacts = {one["impact"] for one in axe.Axe().run(watched.page).response["violations"]}
    assert impacts & {"serious", "critical"}
    assert watched.page.evaluate("document.documentElement.scrollWidth") > PHONE[0]
    assert any("nothing is not defined" in complaint for complaint in watched.complaints)
