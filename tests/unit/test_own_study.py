"""A folder of photographs becomes a data set like SACID, votes become its scores, and Table III is made of both."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paperlib import cli, profiles, regenerate
from paperlib.coding.still import code_picture
from paperlib.datasets.sacid import Version, open_sacid, read_scores
from paperlib.datasets.votes_table import read_votes
from paperlib.errors import PaperlibError
from paperlib.experiments.available import without_data
from paperlib.experiments.compression import plan, results
from paperlib.study.folder import code_folder, enough_assessors, pairs_text, targets_of
from tests.study_samples import Pair, photograph, refusal

NAMES = ("chelsea", "coffee")
RULES = {"none": None, "p132": (60, 40), "p220": (60, 80), "p310": (75, 80)}
Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("quiet_place")


@pytest.fixture(scope="module")
def pixels() -> dict[str, Pair]:
    return {name: photograph(name) for name in NAMES}


def write_folders(root: Path, pixels: dict[str, Pair]) -> Path:
    for place, folder in enumerate(("photos", "maps")):
        (root / folder).mkdir()
        for name, pair in pixels.items():
            Image.fromarray(pair[place]).save(root / folder / f"{name}.png")
    return root


@pytest.fixture
def folder(tmp_path: Path, pixels: dict) -> Path:
    return write_folders(tmp_path, pixels)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pixels: dict) -> Path:
    """A data set, unvoted; not to be changed."""
    root = write_folders(tmp_path_factory.mktemp("made"), pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_WORKERS", "1")
        patch.setenv("PAPERLIB_QUIET", "1")
        code_folder(root / "photos", str(root / "maps"), [0.5, 0.3], root / "own")
    return root


def code(folder: Path, *words: str, bpp: str = "0.5", saliency: str = "maps") -> int:
    chosen = saliency if saliency == "center" else str(folder / saliency)
    command = ["code", str(folder / "photos"), "--saliency", chosen, "--bpp", bpp]
    return cli.main([*command, "--out", str(folder / "own"), *words])


def answered(table: Path, worth: Any, seed: int = 0) -> None:
    """Fill a schedule: the version of more `worth`, with some noise, is preferred; verifications are answered rightly."""
    rng = np.random.default_rng(seed)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    for row in rows:
        lead = worth(row["image"], row["left"]) - worth(row["image"], row["right"]) + 0.4 * rng.standard_normal()
        row["choice"] = row["expected"] or ("tie" if abs(lead) < 0.1 else "left" if lead > 0 else "right")
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def by_rate_and_preset(image: str, version: str) -> float:
    found = Version.from_case(version.removesuffix(".png"))
    return 9.0 if found is None else 3 * found.bpp + {"none": 0.0, "p132": 0.5, "p220": 0.7, "p310": 0.2}[found.preset]


# ---- the data set ---------------------------------------------------------------------------------------------------
def test_layout_is_that_of_sacid(made: Path, pixels: dict) -> None:
    """Every picture is what the coder makes of photograph, map and the paper's settings, and the names are SACID's."""
    out = made / "own"
    cases = {f"h264v@targetbbp100={bpp}_preset={preset}" for bpp in (30, 50) for preset in RULES}
    for name, (image, saliency) in pixels.items():
        assert {path.stem for path in (out / "compressed" / name).glob("*.png")} == cases
        assert np.array_equal(np.asarray(Image.open(out / "reference" / f"{name}.png")), image)
        with Image.open(out / "saliency" / f"{name}.png") as stored:
            assert stored.mode == "L" and np.array_equal(np.asarray(stored), saliency)
    image, saliency = pixels["coffee"]
    for preset, rule in RULES.items():
        file = out / "compressed" / "coffee" / f"h264v@targetbbp100=30_preset={preset}.png"
        expected = code_picture(image, saliency, 0.3, *rule) if rule else code_picture(image, None, 0.3)
        assert np.array_equal(np.asarray(Image.open(file)), expected.picture)
        record = json.loads(file.with_suffix(".json").read_text())
        assert record["bpp"]["asked"] == 0.3 and record["bpp"]["achieved"] == pytest.approx(0.3, rel=0.01)
        assert (record["share"] is None) == (rule is None)
        if rule:
            assert (record["share"]["s0_percent"], 100 * record["share"]["asked"]) == (rule[0], pytest.approx(rule[1]))


def test_schedule_by_its_own_rules(made: Path) -> None:
    """Pairs of one photograph, none twice per assessor; verifications show the photograph beside the worst version."""
    text = (made / "own" / "pairs.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assessors = {row["assessor"] for row in rows}
    assert len(assessors) == enough_assessors(2, 8) == -(-9 * 2 * 28 // 25) and {row["choice"] for row in rows} == {""}
    for assessor in assessors:
        own = [row for row in rows if row["assessor"] == assessor]
        checks = [row for row in own if row["expected"]]
        assert (len(own), len(checks), {row["image"] for row in checks}) == (27, 2, set(NAMES))
        shown = [(row["image"], frozenset((row["left"], row["right"]))) for row in own]
        assert len(set(shown)) == len(shown) and all(len(pair) == 2 for _, pair in shown)
    for row in rows:
        for side in ("left", "right"):
            there = row[side] == "reference" or (made / "own" / "compressed" / row["image"] / row[side]).is_file()
            assert there and (bool(row["expected"]) or row[side] != "reference")
        if row["expected"]:
            other = "right" if row["expected"] == "left" else "left"
            assert row[row["expected"]] == "reference" and row[other] == "h264v@targetbbp100=30_preset=none.png"
    assert {row["expected"] for row in rows} == {"", "left", "right"}
    assert any(row["expected"] for row in rows[5:27]), "verifications must not stand first, or assessors know them"
    versions = [Version(bpp, preset) for bpp in (30, 50) for preset in RULES]
    assert pairs_text(NAMES, versions, len(assessors), 0) == text != pairs_text(NAMES, versions, len(assessors), 1)
    assert len(read_votes(made / "own" / "pairs.csv", schedule=True).choice) == len(rows)


def test_from_folder_to_table_3(made: Path, folder: Path, capsys: Capture, shared: Any) -> None:
    """The whole way by the command line, with a simulated study and a network of one's own."""
    weights = shared("weights", "cnniqa_live.pth")
    shutil.copytree(made / "own", folder / "own")
    assert code(folder, "--assessors", "30", bpp="0.3,0.5") == 0
    assert "16 pictures of 2 photographs, 0 coded now; 30 assessors" in capsys.readouterr().out
    own = folder / "own"
    answered(own / "pairs.csv", by_rate_and_preset)
    assert cli.main(["votes", str(own / "pairs.csv"), "--moses", str(own / "moses.csv")]) == 0
    scores = read_scores(own / "moses.csv")
    assert scores.sequences == NAMES and (scores.subjective.min(axis=1) == 0).all()
    wins = scores.subjective[:, scores.presets == "p220"] > scores.subjective[:, scores.presets == "none"]
    assert wins.all() and (scores.subjective[:, 4:].mean(axis=1) > scores.subjective[:, :4].mean(axis=1)).all()
    capsys.readouterr()
    command = ["table", "3", "--profile", "own", "--data-root", str(own), "--model", f"cnniqa_live={weights}", "--json"]
    assert cli.main(command) == 0
    table = json.loads(capsys.readouterr().out)
    cells = {(cell["method"], cell["metric"]): cell for cell in table["cells"]}
    assert {cell["dataset"] for cell in table["cells"]} == {"own"}
    computed = {method for method, metric in cells if cells[method, metric]["value"] is not None}
    assert computed >= {"psnr", "ssim", "ew_psnr", "ew_ssim", "cnniqa_live", "bitrate_only", "preset_order"}
    assert len({method for method, _ in cells}) == 4 + 1 + 2 + 6, "rows of the paper that nothing was computed for"
    assert all(cell["published"] is None for cell in table["cells"])
    sacid = open_sacid(own, own=True)
    assert (sacid.name, sacid.notes) == ("own", ())
    raw = [code_score(weights, one.load_image()) for one in sacid.records[:8]]
    expected = abs(np.corrcoef(np.argsort(np.argsort(raw)), np.argsort(np.argsort(scores.subjective[0])))[0, 1])
    rows = regenerate.rows("compression", profiles.load("own", data_root=str(own), models=(f"cnniqa_live={weights}",)))
    chosen = rows[(rows["method"] == "cnniqa_live") & (rows["metric"] == "SROCC") & (rows["variant"] == "chelsea")]
    assert chosen["value"].item() == pytest.approx(expected)


def code_score(weights: Path, image: np.ndarray) -> float:
    import torch

    from paperlib.models.quality.model import load_quality_model

    model = load_quality_model("cnniqa_live", weights=weights)
    with torch.inference_mode():
        return -float(model.network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255))


# ---- going on, and what stays as it is ------------------------------------------------------------------------------
def stamps(own: Path) -> dict[str, int]:
    return {str(path.relative_to(own)): path.stat().st_mtime_ns for path in (own / "compressed").rglob("*.png")}


def test_a_call_again_codes_what_changed_alone(made: Path, folder: Path, pixels: dict) -> None:
    """A lost picture, a cut one and a photograph with another map are made anew, to the same bytes; nothing else is."""
    own = folder / "own"
    shutil.copytree(made / "own", own)
    lost, cut = (own / "compressed" / "coffee" / f"h264v@targetbbp100={bpp}_preset=p132.png" for bpp in (30, 50))
    whole = lost.read_bytes(), cut.read_bytes()
    lost.unlink()
    cut.write_bytes(whole[1][:100])
    before = stamps(own)
    study = code_folder(folder / "photos", str(folder / "maps"), [0.3, 0.5], own)
    after = stamps(own)
    assert study.fresh == 2 and (lost.read_bytes(), cut.read_bytes()) == whole
    assert [name for name in before if before[name] != after[name]] == [str(cut.relative_to(own))]
    Image.fromarray(np.ascontiguousarray(pixels["coffee"][1][:, ::-1])).save(folder / "maps" / "coffee.png")
    study = code_folder(folder / "photos", str(folder / "maps"), [0.3, 0.5], own)
    assert study.fresh == 8 and cut.read_bytes() != whole[1]


def test_votes_are_never_replaced(made: Path, folder: Path) -> None:
    own = folder / "own"
    shutil.copytree(made / "own", own)
    count = enough_assessors(2, 8)
    arguments = (folder / "photos", str(folder / "maps"), [0.3, 0.5], own)
    assert code_folder(*arguments, assessors=count + 1).notes == ()
    assert (own / "pairs.csv").read_text() != (made / "own" / "pairs.csv").read_text(), "nobody had answered"
    answered(own / "pairs.csv", by_rate_and_preset)
    filled = (own / "pairs.csv").read_bytes()
    (note,) = code_folder(*arguments).notes
    assert "holds votes, or is damaged, and stays" in note and (own / "pairs.csv").read_bytes() == filled


def test_other_options_or_a_foreign_folder(made: Path, folder: Path, capsys: Capture) -> None:
    own = folder / "own"
    shutil.copytree(made / "own", own)
    before = stamps(own)
    assert code(folder, bpp="0.5") == 2
    assert "bpps 0.3,0.5, now 0.5" in refusal(capsys) and stamps(own) == before
    for told in own.rglob("*.json"):
        told.unlink()
    assert code(folder, bpp="0.3,0.5") == 2
    assert (
        "reference, saliency, compressed and 1 more that `code` did not write" in refusal(capsys) and stamps(own) == before
    )
    assert cli.main(["code", str(own / "reference"), "--saliency", "center", "--bpp", "0.5", "--out", str(own)]) == 2
    assert "would replace an input" in refusal(capsys)


# ---- options --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--bpp", "0.125"), "--bpp 0.125 has more than two digits, and SACID's names hold whole hundredths"),
        (("--bpp", "0.12,0.005"), "--bpp must be 0.01 or more, got 0.005"),
        (("--bpp", "nan"), "--bpp must be 0.01 or more, got nan"),
        (("--bpp", "0.5", "--s0", "70"), "leave --s0 and --share out"),
        (("--bpp", "0.5", "--preset", "placebo"), "--preset must be one of"),
        (("--bpp", "0.5", "--saliency", "nowhere"), "--saliency must be a folder with a map per photograph, or center"),
    ],
)
def test_unusable_options(folder: Path, capsys: Capture, words: tuple[str, ...], sentence: str) -> None:
    assert cli.main(["code", str(folder / "photos"), "--saliency", "center", *words, "--out", str(folder / "own")]) == 2
    assert sentence in refusal(capsys) and not (folder / "own").exists()


def test_a_folder_needs_saliency_and_a_picture_one_rate(folder: Path, capsys: Capture) -> None:
    assert cli.main(["code", str(folder / "photos"), "--bpp", "0.5"]) == 2
    assert "--saliency center" in refusal(capsys)
    assert cli.main(["code", str(folder / "photos" / "coffee.png"), "--bpp", "0.5,0.6"]) == 2
    assert "are for a folder of pictures" in refusal(capsys)


@pytest.mark.parametrize("bpp", [0.07, 0.29, 0.57, 0.58, 1.1, 1.15, 2.3])
def test_hundredths_are_understood_whatever_their_binary_form(bpp: float) -> None:
    assert targets_of([bpp]) == (int(f"{bpp:.2f}".replace(".", "")),)


# ---- scores ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def voted(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "own", tmp_path / "voted")
    answered(tmp_path / "voted" / "pairs.csv", by_rate_and_preset)
    return tmp_path / "voted" / "pairs.csv"


def test_a_table_of_another_origin_stays(voted: Path, capsys: Capture) -> None:
    table = voted.with_name("moses.csv")
    command = ["votes", str(voted), "--moses", str(table)]
    assert cli.main(command) == 0 and cli.main([*command, "--virtual-wins", "0.5"]) == 0, "our own may be replaced"
    ours = table.read_text()
    table.write_text(ours.replace("chelsea", "somebody"))
    capsys.readouterr()
    assert cli.main(command) == 2
    assert "--force" in refusal(capsys) and "somebody" in table.read_text()
    assert cli.main([*command, "--force"]) == 0 and "somebody" not in table.read_text()
    table.with_suffix(".json").write_text("{}")
    capsys.readouterr()
    assert cli.main(command) == 2 and "moses.json would be replaced" in refusal(capsys)
    assert cli.main([*command[:-1], str(voted.with_name("moses.txt"))]) == 2 and "ends in .csv" in refusal(capsys)


def test_votes_that_make_no_table_of_sacids_form(tmp_path: Path, voted: Path, capsys: Capture) -> None:
    lines = ["image,left,right,choice,assessor", "kitchen,q20.png,q40.png,right,anna"]
    (tmp_path / "v.csv").write_text("\n".join(lines))
    assert cli.main(["votes", str(tmp_path / "v.csv"), "--moses", str(tmp_path / "m.csv")]) == 2
    assert "names versions like h264v@targetbbp100=12_preset=p132, the votes have q20, q40" in refusal(capsys)
    some = [line for line in voted.read_text().splitlines() if not ("coffee" in line and "50_preset=none" in line)]
    (tmp_path / "some.csv").write_text("\n".join(some))
    assert cli.main(["votes", str(tmp_path / "some.csv"), "--moses", str(tmp_path / "m.csv")]) == 2
    assert "1 of 16 versions have no vote that counts: coffee/h264v@targetbbp100=50_preset=none" in refusal(capsys)
    assert not (tmp_path / "m.csv").exists()


# ---- Table III on own data ------------------------------------------------------------------------------------------
def test_a_folder_of_another_kind_says_how_to_make_one(tmp_path: Path, made: Path, capsys: Capture) -> None:
    (tmp_path / "images").mkdir()
    command = ["table", "3", "--profile", "own", "--data-root"]
    assert cli.main([*command, str(tmp_path)]) == 2
    assert "python -m paperlib code FOLDER --saliency FOLDER" in refusal(capsys)
    assert cli.main([*command, str(made / "own")]) == 2
    assert "votes pairs.csv --moses moses.csv" in refusal(capsys)


def test_sections_without_data_are_left_out(tmp_path: Path, made: Path, capsys: Capture) -> None:
    (tmp_path / "images").mkdir()
    own = profiles.load("own", data_root=str(tmp_path))
    assert list(without_data(own)) == ["03d"] and "code FOLDER" in without_data(own)["03d"]
    assert cli._with_data(own) == ["03a", "03b"]
    coded = profiles.load("own", data_root=str(made / "own"))
    assert list(without_data(coded)) == ["03a", "03b"] and cli._with_data(coded) == ["03d"]
    (tmp_path / "empty").mkdir()
    assert cli.main(["run", "--profile", "own", "--data-root", str(tmp_path / "empty")]) == 2
    sentence = refusal(capsys)
    assert all(word in sentence for word in ("fixations.csv", "mos.csv", "code FOLDER"))
    assert cli._with_data(profiles.load("demo")) == cli._with_data(profiles.load("paper", data_root=str(tmp_path))) == []


def test_rows_of_the_users_networks(tmp_path: Path) -> None:
    """They come on top of the paper's rows, or take the place of the row of their name; backbones judge nothing."""
    (tmp_path / "w.pth").write_bytes(b"x")
    models = ("cnniqa_live", f"dbcnn={tmp_path / 'w.pth'}", "timm:resnet50")
    paper, plain = profiles.load("paper", models=models), profiles.load("paper")
    own, known = plan.all_lines(paper), plan.all_lines(plain)
    assert len(own) == len(known) + 1 and own[-2].method == "cnniqa_live"
    assert [line.source.weights for line in own if line.method == "dbcnn"] == [str(tmp_path / "w.pth")]
    assert ("Added", "cnniqa_live") in results.lines_of_the_table(paper)
    for name, sentence in (("lpips", "full-reference"), ("nothing_like_it", "there is no IQA model")):
        with pytest.raises(PaperlibError, match=sentence):
            plan.all_lines(profiles.load("paper", models=(name,)))


@pytest.mark.parametrize("name", ["rehearsal", "paper", "own"])
def test_a_folder_that_is_not_there_yet_leaves_nothing_out(tmp_path: Path, name: str) -> None:
    assert without_data(profiles.load(name, data_root=str(tmp_path / "later"))) == {}
