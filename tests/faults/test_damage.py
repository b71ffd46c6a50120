"""Every file that a verb writes, damaged or with something else in its place: the same command makes it again to what it
was, or refuses in one sentence that names it; nothing is taken silently, and what somebody else put there stays."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from PIL import Image

from paperlib import cli, paths, regenerate
from paperlib.experiments import kept_rows
from paperlib.profiles import load
from paperlib.show import figures, look, notebooks
from tests.damage import empty, in_every_way, overwrite, put_a_folder, put_a_link
from tests.study_samples import photograph
from tests.unit import cli_samples

Damage = Callable[[Path], None]
Capture = pytest.CaptureFixture[str]

CODE = "code {place}/photos --saliency center --bpp 0.6 --out {place}/made"
CASE = "compressed/a/h264v@targetbbp100=60_preset=p220"
WRITTEN = {
    CODE.replace("photos", "photos/a.png"): ("a_coded.png", "a_coded.264", "a_coded.json"),
    CODE: (
        *("coded.json", "pairs.csv", "reference/a.png", "saliency/a.png"),
        *(f"{CASE}.png", f"{CASE}.json", ".coding.lock"),
    ),
    "votes {place}/votes.csv --moses {place}/made/moses.csv": ("moses.csv", "moses.json"),
    "look {place}/photos/a.png --out {place}/made": ("a_look.png",),
    "example {place}/made": (
        *(".example.json", "fixations.csv", "images/coffee_good.jpg", "coded.json", "moses.csv", ".example.lock"),
    ),
    "figure 1 --out {place}/made": ("fig1.png", "fig1.pdf", "fig1.csv"),
    "run --results {place}/made": (
        *("figures/table1.csv", "figures/claims.csv", "demo/notebooks/03a_a.ipynb"),
        *("demo/notebooks/03a_a.html", "demo/notebooks/03a_a.made_of", "demo/report/index.html"),
    ),
}
"""Words of a verb -> files that it writes below `made`."""
NAMED = ("coded.json", "pairs.csv", f"{CASE}.png", f"{CASE}.json", "demo/notebooks/03a_a.ipynb")
"""Those by which a verb decides what is there already: where they are made again, it says so."""


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Made-up tables, figures and claims at once, and a notebook that needs no kernel."""
    folder = tmp_path_factory.mktemp("notebooks")
    cli_samples.write_notebook(folder, "03a_a", "1")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("table", "figure", "claims"):
            patch.setattr(regenerate, name, getattr(cli_samples, name))
        patch.setattr(regenerate, "prepare", lambda profile: None)
        patch.setattr(regenerate, "rows", lambda *_: kept_rows.tidy([{"value": 0.5}]))
        for name in ("figure1", "figure2", "figure2_extended"):
            patch.setattr(figures, name, lambda data, **_: Figure(figsize=(1, 1)))
        patch.setattr(paths, "NOTEBOOKS", folder)
        patch.setattr(
            look, "look_into", lambda pixels: SimpleNamespace(score=0.5, saliency=pixels[..., 0], gradcam=pixels[..., 1])
        )
        patch.setattr(notebooks, "_execute", lambda path, target, *_: shutil.copy(path, target) and None)
        patch.setenv("PAPERLIB_WORKERS", "1")
        for name in ("RESULTS", "FIGURES", "DATA_ROOT", "WEIGHTS_ROOT", "MODELS", "QUIET"):
            patch.setenv(f"PAPERLIB_{name}", "")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Once for every verb: a folder with its inputs and with what it made of them; not to be changed."""
    places: dict[str, Path] = {}

    def find(verb: str) -> Path:
        if verb not in places:
            places[verb] = place = tmp_path_factory.mktemp("made")
            (place / "photos").mkdir()
            Image.fromarray(photograph("coffee")[0][:96, :128]).save(place / "photos" / "a.png")
            versions = ("h264v@targetbbp100=60_preset=none.png", "h264v@targetbbp100=60_preset=p220.png")
            (place / "votes.csv").write_text(f"image,left,right,choice,assessor\na,{','.join(versions)},left,x\n")
            assert call(verb, place) == 0
        return places[verb]

    return find


def call(verb: str, place: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        if verb.startswith("run "):
            patch.setenv("PAPERLIB_FIGURES", str(place / "made" / "figures"))
        return cli.main(verb.format(place=place).split())


def contents(place: Path) -> dict[str, bytes]:
    """Files by name; of pages, which tell times and memory, and of figures with a date, only that they are there."""
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file() or path.is_symlink()}
    told = {name: path for name, path in found.items() if path.suffix not in (".html", ".pdf") and path.is_file()}
    return dict.fromkeys(found, b"") | {name: path.read_bytes() for name, path in told.items()}


def refused(code: int, said: str, file: Path) -> bool:
    """Whether one line tells of the file, the last one; a run goes on to its report where one notebook is concerned."""
    told = [line for line in said.splitlines() if "cannot be used" in line or line.startswith("paperlib: ")]
    return code in (1, 2) and len(told) == 1 and file.name in told[0] and "unexpected error" not in said


@in_every_way
@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, names in WRITTEN.items() for name in names])
def test_it_is_made_again_or_refused_by_name(
    made: Callable[[str], Path], tmp_path: Path, capsys: Capture, verb: str, name: str, damage: Damage
) -> None:
    place = tmp_path / "place"
    shutil.copytree(made(verb), place)
    if verb.startswith("run "):
        call(verb, place)  # notebooks know the folder in which they were run
    before, file = contents(place), place / "made" / name
    damage(file)
    capsys.readouterr()
    code = call(verb, place)
    said = capsys.readouterr().err
    if code == 0:
        assert contents(place) | {f"made/{name}": b""} == before | {f"made/{name}": b""}
        assert name.endswith(".lock") or contents(place)[f"made/{name}"] == before[f"made/{name}"]
        lost = damage is put_a_link and name != "coded.json" and "compressed" not in name
        assert str(file) in said or name not in NAMED or verb.startswith("example ") or lost
    else:
        assert refused(code, said, file)
    if damage is put_a_folder:
        assert code and (file / "theirs.txt").read_text() == "keep me"
    assert not list(place.rglob("*.part"))


@pytest.mark.parametrize("damage", [put_a_folder, put_a_link])
def test_the_log_of_a_notebook(made: Callable[[str], Path], tmp_path: Path, capsys: Capture, damage: Damage) -> None:
    verb, place = "run --results {place}/made", tmp_path / "place"
    shutil.copytree(made(verb), place)
    log = place / "made" / "demo" / "notebooks" / "03a_a.log"
    damage(log)
    capsys.readouterr()
    code = call(verb, place)
    said = capsys.readouterr().err
    assert (code, log.is_symlink()) == (0, False) if damage is put_a_link else log.is_dir() and refused(code, said, log)


@pytest.mark.parametrize("verb", WRITTEN)
def test_a_file_in_the_place_of_the_folder(made: Callable[[str], Path], tmp_path: Path, capsys: Capture, verb: str) -> None:
    place = tmp_path / "place"
    shutil.copytree(made(verb), place, ignore=lambda *_: ["made"])
    (place / "made").write_text("keep me")
    assert refused(call(verb, place), capsys.readouterr().err, place / "made")
    assert (place / "made").read_text() == "keep me"


# ---- a folder that `code` made --------------------------------------------------------------------------------------
@pytest.fixture
def coded(made: Callable[[str], Path], tmp_path: Path) -> Path:
    place = tmp_path / "place"
    shutil.copytree(made(CODE), place)
    return place


def test_every_bit_of_a_record_counts(coded: Path, capsys: Capture) -> None:
    """A number that nothing else tells, such as the QPs, is not taken when it was altered."""
    record = coded / "made" / f"{CASE}.json"
    before = record.read_text("utf-8")
    for found, altered in (
        ('"lowest": ', '"lowest": 1'),
        ('"encodes": ', '"encodes": 2'),
        ('"reached": true', '"reached": false'),
    ):
        assert found in before
        record.write_text(before.replace(found, altered, 1), "utf-8")
        capsys.readouterr()
        assert call(CODE, coded) == 0
        assert f"{record} was damaged" in capsys.readouterr().err
        assert record.read_text("utf-8") == before


def test_a_folder_without_its_list_is_known_by_its_pictures(coded: Path, capsys: Capture) -> None:
    """And by them it is seen, too, that other options are asked for."""
    log, before = coded / "made" / "coded.json", contents(coded)
    for verb, code in ((CODE.replace("0.6", "0.9"), 2), (f"{CODE} --preset fast", 2), (CODE, 0)):
        log.unlink(missing_ok=True)
        capsys.readouterr()
        assert call(verb, coded) == code
        said = capsys.readouterr().err
        assert f"{log} is lost or damaged" in said and ("other options" in said) == (code == 2)
    assert contents(coded) == before


def test_pictures_of_somebody_else_are_no_folder_of_ours(coded: Path, capsys: Capture) -> None:
    for file in (coded / "made").rglob("*.json"):
        file.unlink()
    assert call(CODE, coded) == 2
    assert "that `code` did not write" in capsys.readouterr().err


def test_votes_in_a_schedule_stay_whatever_befell_it(coded: Path, capsys: Capture) -> None:
    pairs = coded / "made" / "pairs.csv"
    pairs.write_bytes(pairs.read_bytes().replace(b",,", b",left,", 1) + b"\xff")
    damaged = pairs.read_bytes()
    assert call(CODE, coded) == 0
    assert "holds votes, or is damaged, and stays" in capsys.readouterr().out
    assert pairs.read_bytes() == damaged


# ---- rows that the repository holds ---------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", [empty, overwrite, put_a_folder])
def test_kept_rows(damage: Damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(paths.FIGURES, tmp_path / "figures")
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    file = tmp_path / "figures" / "open" / "rows" / "extracting.csv"
    damage(file)
    with pytest.raises(cli.PaperlibError, match="damaged .*git checkout|no rows .* are kept"):
        kept_rows.read("extracting", load("open"))
