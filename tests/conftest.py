"""What all tests share: material beside the repository, warnings as errors, and skips told aloud."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("MPLBACKEND", "agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # pytest as a background job: its children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
SHARED = REPOSITORY.parent / "shared"

MEDIUM = (
    "iqa_methods shipped saliency_networks models standins quality open_profile masking_section widgets own_example "
    "masking_explore demo_sections kept_rows figures sensitivity cluster cli keys sgdnet cost resampling "
    "compression_section notebook_runner dual_task_section fastgaze extracting data_verb alike tf_graph_property "
    "engine code_verb dual_task_explore growth store_property"
).split()
"""Files of tests that take more than a few seconds together: `./run_all.sh test --quick` leaves them out."""
STRICT_ROOMS = ("unit", "property", "golden", "faults")
WARNINGS = (
    "error",
    "ignore::DeprecationWarning",  # of other people's packages; ours are errors again by the next line
    "error::DeprecationWarning:paperlib",
    "ignore::PendingDeprecationWarning",
    "ignore::FutureWarning",
    "error::FutureWarning:paperlib",
    "ignore:unclosed (<socket|event loop):ResourceWarning",  # left to the collector by Jupyter's clients
)


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """`shared("golden", "keys.json")` is that file of the folder beside the repository; skips aloud where absent."""

    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"../shared/{'/'.join(parts)} is not on this machine")
        return path

    return find


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Any]:
    """A Ray cluster on this machine, see `tests.ray_samples`; starts with the first test that wants it."""
    from tests import ray_samples

    with ray_samples.started() as cluster:
        yield cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in the strict rooms; a test's own `filterwarnings` marks come after and win."""
    for item in items:
        if item.path.stem.removeprefix("test_") in MEDIUM:
            item.add_marker(pytest.mark.medium)
        if any(item.path.is_relative_to(TESTS / room) for room in STRICT_ROOMS):
            item.add_marker(pytest.mark.filterwarnings(*WARNINGS), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every reason for a skip, with how many tests it kept from running."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in reports
    )
    if reasons:
        terminalreporter.section("skipped, see tests/SKIPS.md", sep="-")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4d} x {reason}")


@pytest.fixture
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results in the test's own folder, one process, no progress, and no folders or models left by another command."""
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PAPERLIB_WORKERS", "1")
    monkeypatch.setenv("PAPERLIB_QUIET", "1")
    for name in ("DATA_ROOT", "WEIGHTS_ROOT", "MODELS"):  # the command line writes them
        monkeypatch.setenv(f"PAPERLIB_{name}", "")
