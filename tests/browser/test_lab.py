"""JupyterLab as a reader meets it: the verb `lab`, a notebook run from top to bottom, a slider that moves a picture."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import psutil
import pytest

from paperlib import paths

NOTEBOOK = "02_related_work"
START = """
import sys
from pathlib import Path
from paperlib import cli, paths
paths.NOTEBOOKS = Path(sys.argv.pop(1))
sys.exit(cli.main(["lab", "--no-browser"]))
"""
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S+\?token=\w+")
PATIENCE = 120.0  # seconds, for what takes a few on a quiet machine
DIGEST = """
async image => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return [image.naturalWidth, Array.from(new Uint8Array(digest)).join(" ")];
}
"""
"""Width and bytes of a picture; its address alone may change without it."""


class Lab(NamedTuple):
    """A running JupyterLab: the address it printed, its folder of notebooks, what it said."""

    address: str
    notebooks: Path
    log: Path

    def of(self, name: str) -> str:
        """Address of another notebook, and of none that was open before."""
        return self.address.replace("00_start_here", name) + "&reset"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Lab]:
    """Started by the verb, in copies of the notebooks without outputs, for one whose own kernel python3 is broken."""
    root = tmp_path_factory.mktemp("lab")
    folder = root / "notebooks"
    folder.mkdir()
    for source in paths.NOTEBOOKS.glob("*.ipynb"):
        nbformat.write(emptied(nbformat.read(source, as_version=4)), folder / source.name)
    broken = root / "data" / "kernels" / "python3"
    broken.mkdir(parents=True)
    spec = {"argv": [str(root / "nowhere"), "{connection_file}"], "display_name": "Broken", "language": "python"}
    (broken / "kernel.json").write_text(json.dumps(spec))
    own = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = os.environ | {f"JUPYTER_{name}": str(root / place) for name, place in own.items()}
    environment |= {f"JUPYTERLAB_{name.upper()}_DIR": str(root / name) for name in ("settings", "workspaces")}
    log = root / "lab.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", START, str(folder)],
            cwd=paths.REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Lab(wait_for(lambda: ADDRESS.search(log.read_text()), log).group(), folder, log)
    finally:
        stop(server)


def emptied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without outputs: whatever stands there afterwards was computed."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    return notebook


def wait_for(condition: Any, log: Path, seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"nothing happened within {seconds:.0f} s; JupyterLab said:\n{log.read_text()[-3000:]}")


def stop(server: subprocess.Popen) -> None:
    """End the server with its kernels; whatever it leaves is ended, and told."""
    family = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, left = psutil.wait_procs(family, timeout=5)
    for process in left:
        process.kill()
    assert not left, f"JupyterLab left processes behind: {left}"


def active(page: Any) -> Any:
    """The notebook in front."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def test_the_printed_address_opens_the_first_notebook(lab: Lab, watch: Any, tmp_path: Path) -> None:
    watched = watch()
    watched.page.goto(lab.address)
    panel = active(watched.page)
    panel.get_by_role("heading", level=1).first.wait_for(timeout=PATIENCE * 1000)
    assert "00_start_here" in watched.page.url
    first = nbformat.read(lab.notebooks / "00_start_here.ipynb", as_version=4)
    assert panel.get_by_role("heading", level=1).first.inner_text().rstrip("¶") in first.cells[0].source
    panel.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=PATIENCE * 1000)
    assert "Broken" not in panel.inner_text()
    watched.page.screenshot(path=tmp_path / "start.png")
    assert "official Jupyter news" not in watched.page.locator("body").inner_text()
    assert watched.complaints == []


def test_nobody_gets_in_without_the_token(lab: Lab, watch: Any) -> None:
    page = watch().page
    assert page.request.get(lab.address.split("?")[0].replace("/lab/tree/", "/api/contents/")).status == 403


def test_a_notebook_runs_and_a_slider_moves_its_picture(lab: Lab, watch: Any, tmp_path: Path) -> None:
    file = lab.notebooks / f"{NOTEBOOK}.ipynb"
    watched = watch()
    page = watched.page
    page.goto(lab.of(NOTEBOOK))
    panel = active(page)
    idle = panel.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    idle.wait_for(timeout=PATIENCE * 1000)
    page.locator("#jp-main-statusbar", has_text="Idle").wait_for(timeout=PATIENCE * 1000)

    def run_all() -> None:
        page.locator(".lm-MenuBar-item", has_text="Run").click()
        page.locator("[data-command='runmenu:run-all']").click()

    def done() -> bool:
        """A kernel that is still being connected lets the first call pass without a word: then once more."""
        idle.wait_for(timeout=PATIENCE * 1000)
        before = file.stat().st_mtime_ns
        panel.locator("[data-jp-item-name=save]").click()
        wait_for(lambda: file.stat().st_mtime_ns != before and is_whole(file), lab.log)  # two at once end in a question
        executed = all(cell.execution_count for cell in code_cells(file))
        if not executed:
            run_all()
        return executed

    run_all()
    wait_for(done, lab.log)
    errors = [output for cell in code_cells(file) for output in cell.outputs if output.output_type == "error"]
    assert errors == []

    levels = [(level, text) for level, text, _ in headings(file)]
    page.locator(".jp-SideBar [data-id=table-of-contents]").click()
    entries = page.locator("#table-of-contents .jp-tocItem-content")
    entries.last.wait_for()
    assert [text.strip() for text in entries.all_inner_texts()] == [text for _, text in levels]
    assert [level for level, _ in levels].count(1) == 1, "one title per notebook"

    entries.nth(heading_of_the_widget(file)).click()
    slider = panel.locator(".widget-slider").first
    slider.scroll_into_view_if_needed()
    picture = panel.locator("img.widget-image").first
    before = picture.evaluate(DIGEST)
    handle = slider.locator(".noUi-handle").first
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    after = wait_for(lambda: (seen := picture.evaluate(DIGEST)) != before and seen, lab.log)
    page.screenshot(path=tmp_path / "moved.png")
    assert before[0] > 300 and after[0] > 300, "both are pictures that the browser can show"
    assert watched.complaints == []
    base = lab.address.partition("/lab/")[0]
    assert [address for address in watched.requests if not address.startswith(base)] == []


def is_whole(file: Path) -> bool:
    """Whether it has been written to its end."""
    return file.read_text("utf-8").rstrip().endswith("}")


def code_cells(file: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(file, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def headings(file: Path) -> list[tuple[int, str, int]]:
    """Level, text and number of the cell of every heading, in order."""
    return [
        (len(marks), text, number)
        for number, cell in enumerate(nbformat.read(file, as_version=4).cells)
        if cell.cell_type == "markdown"
        for marks, text in re.findall(r"^(#+) +(.*?) *$", cell.source, re.MULTILINE)
    ]


def heading_of_the_widget(file: Path) -> int:
    """Number of the heading above the first cell with a widget."""
    cells = nbformat.read(file, as_version=4).cells
    widget = next(number for number, cell in enumerate(cells) if "paperlib.show.widgets" in cell.source)
    return max(place for place, (_, _, number) in enumerate(headings(file)) if number <= widget)
