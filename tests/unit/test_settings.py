"""Settings come from the environment, go to another process through it, and are in force inside a block alone."""

import re
from pathlib import Path

import pytest

import paperlib
from paperlib.errors import PaperlibError
from paperlib.settings import Settings, current, in_use

ALL = Settings(
    results_root=Path("/r"),
    figures_root=Path("/f"),
    data_root=Path("/d"),
    weights_root=Path("/w"),
    input_size="640x480",
    models=("a@b=/c d", "e:f"),
    model_path=(Path("/here"), Path("/d")),
    workers=3,
    quiet=True,
    ray_address="head:6379",
    ship_code=True,
    gpu_share=0.5,
)


@pytest.mark.parametrize("settings", [Settings(), ALL])
def test_another_process_reads_the_same(settings: Settings) -> None:
    assert Settings.from_environment(settings.environment()) == settings


def test_a_relative_folder_is_that_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"PAPERLIB_RESULTS": "here"}).results_root == tmp_path / "here"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("WORKERS", "many", "PAPERLIB_WORKERS must be a positive whole number, got 'many'"),
        ("WORKERS", "0", "PAPERLIB_WORKERS must be a positive whole number, got '0'"),
        ("INPUT_SIZE", "640", "the input size must read WIDTHxHEIGHT, such as 1024x768, or whole, got '640'"),
        ("INPUT_SIZE", "640x8", "the input size must read WIDTHxHEIGHT, such as 1024x768, or whole, got '640x8'"),
        ("RAY_GPU_SHARE", "half", "PAPERLIB_RAY_GPU_SHARE must be a number above 0 and at most 1, got 'half'"),
        ("RAY_GPU_SHARE", "2", "PAPERLIB_RAY_GPU_SHARE must be a number above 0 and at most 1, got '2'"),
    ],
)
def test_a_number_that_is_none_is_told(name: str, text: str, sentence: str) -> None:
    with pytest.raises(PaperlibError, match=sentence):
        Settings.from_environment({f"PAPERLIB_{name}": text})


def test_settings_in_use_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERLIB_MODELS", "of the environment")
    with in_use(ALL):
        assert current() is ALL
        with in_use(ALL.for_worker()):
            assert (current().workers, current().ray_address, current().models) == (1, None, ALL.models)
        assert current() is ALL
    assert current().models == ("of the environment",)


def test_nobody_else_reads_our_variables() -> None:
    package = Path(paperlib.__file__).parent
    readers = [
        path for path in package.rglob("*.py") if re.search(r"(environ|getenv)\W.*PAPERLIB_", path.read_text("utf-8"))
    ]
    assert readers == []
