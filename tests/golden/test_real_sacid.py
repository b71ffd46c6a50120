"""The real subjective scores of SACID: what bit-rate alone and a fixed order of presets reach, and the presets' means.

Expected numbers come from the table by other people's functions (pandas, SciPy), or were known before this code.
"""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from paperlib import cli
from paperlib.datasets.sacid import PUBLISHED, ScoreTable, open_sacid, read_scores
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.compute import preset_order
from paperlib.experiments.compression.explore import SACID_PRESET_MEANS
from paperlib.metrics.agreement import per_image
from paperlib.metrics.resampling import bootstrap_mean
from paperlib.study.sacid_scores import SacidScores, analyse

Shared = Callable[..., Path]
MEANS = {f"{100 * bpp:.0f}": means for bpp, means in SACID_PRESET_MEANS.items()}


@pytest.fixture(scope="module")
def path(shared: Shared) -> Path:
    return shared("sacid", "moses.csv")


@pytest.fixture(scope="module")
def scores(path: Path) -> ScoreTable:
    return read_scores(path)


@pytest.fixture(scope="module")
def found(scores: ScoreTable) -> SacidScores:
    return analyse(scores)


@pytest.fixture(scope="module")
def frame(path: Path) -> pd.DataFrame:
    raw = pd.read_csv(path)
    parts = raw.test_case.str.extract(r"targetbbp100=(?P<bits>\d+)_preset=(?P<preset>\w+)")
    return raw.join(parts.astype({"bits": int}))


def test_every_score_is_in_its_place(scores: ScoreTable, frame: pd.DataFrame) -> None:
    assert scores.subjective.shape == (60, 12) and len(frame) == 720
    wide = frame.pivot(index="sequence", columns=["bits", "preset"], values="subjective_score")
    assert list(scores.sequences) == list(wide.index)
    columns = pd.MultiIndex.from_tuples([tuple(version) for version in scores.versions])
    np.testing.assert_array_equal(scores.subjective, wide[columns].to_numpy())
    assert (scores.subjective.min(axis=1) == 0).all()


def test_the_bitrate_alone(found: SacidScores, frame: pd.DataFrame) -> None:
    alone = found["bitrate_only"]
    groups = [group for _, group in frame.groupby("sequence")]
    assert round(alone["srocc"], 4) == 0.9003 and round(alone["plcc"], 4) == 0.8996 and alone["n"] == 60
    assert alone["srocc"] == pytest.approx(np.mean([spearmanr(g.bits, g.subjective_score)[0] for g in groups]))
    assert alone["plcc"] == pytest.approx(np.mean([pearsonr(g.bits, g.subjective_score)[0] for g in groups]))
    half_width = np.diff(alone["srocc_interval"])[0] / 2
    assert half_width == pytest.approx(0.014, abs=0.002)


def test_the_order_of_presets_learned_on_the_other_photographs(found: SacidScores, frame: pd.DataFrame) -> None:
    fixed = found["preset_order"]
    assert round(fixed["fraccp"], 4) == 0.7167 and (fixed["groups"], fixed["n"]) == (180, 60)
    shares = []
    for (sequence, _), group in frame.groupby(["sequence", "bits"]):
        means = frame[frame.sequence != sequence].groupby("preset").subjective_score.mean()
        pairs = combinations(zip(group.preset, group.subjective_score, strict=True), 2)
        shares.append(np.mean([(means[a] - means[b]) * (x - y) > 0 for (a, x), (b, y) in pairs]))
    assert len(shares) == 180 and fixed["fraccp"] == pytest.approx(np.mean(shares))
    assert np.diff(fixed["fraccp_interval"])[0] / 2 == pytest.approx(0.048, abs=0.004)
    assert fixed["order"] == ["none", "p310", "p132", "p220"]


@pytest.mark.parametrize("images", [10, 20, 40])
def test_intervals_over_few_real_photographs_cover_the_mean_of_all(scores: ScoreTable, images: int) -> None:
    """2,000 draws of a few of the 60 photographs; allowed on top of .93-.97: three standard errors of such a share."""
    rate = np.broadcast_to(scores.bpps, scores.subjective.shape)
    agreement = per_image(np.stack([rate, preset_order(scores.subjective, scores.presets)]), scores.subjective, scores.bpps)
    chance = 3 * np.sqrt(0.05 * 0.95 / 2000)
    for population in (agreement.srocc[0], agreement.plcc[0], agreement.fraccp[1]):
        drawn = population[np.random.default_rng(5).integers(0, 60, (2000, images))]
        low, high = bootstrap_mean(drawn, 1000)
        assert 0.93 - chance <= np.mean((low <= population.mean()) & (population.mean() <= high)) <= 0.97 + chance


def test_the_means_of_the_presets(found: SacidScores, frame: pd.DataFrame) -> None:
    shown = found["preset_means"]
    assert list(shown) == list(MEANS) and {bits: list(row) for bits, row in shown.items()} == {
        bits: list(row) for bits, row in MEANS.items()
    }
    for (bits, preset), mean in frame.groupby(["bits", "preset"]).subjective_score.mean().items():
        assert shown[str(bits)][preset] == pytest.approx(mean)
        assert shown[str(bits)][preset] == pytest.approx(MEANS[str(bits)][preset], abs=6e-4)


def test_the_verb_prints_the_same(path: Path, found: SacidScores, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sacid", "--scores", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found))
    assert cli.main(["sacid", "--scores", str(path)]) == 0
    text = capsys.readouterr().out
    for word in ("60 sequences", "0.9003", "0.8996", "0.7167", "180 groups", "none < p310 < p132 < p220", "3.073"):
        assert word in text


def test_the_published_numbers_are_the_tables(scores: ScoreTable) -> None:
    values = scores.subjective
    found = [values.size, values.min(), values.max(), values.mean(), values.std()]
    assert found == pytest.approx(
        [PUBLISHED.pictures, PUBLISHED.low, PUBLISHED.high, PUBLISHED.mean, PUBLISHED.sd], abs=1e-5
    )


def test_another_table_of_that_size_is_not_taken_for_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "compressed").mkdir()
    frame = pd.read_csv(path)
    frame.assign(subjective_score=frame.subjective_score * 1.1).to_csv(tmp_path / "moses.csv", index=False)
    with pytest.raises(PaperlibError, match="are not those of SACID: minimum, maximum, mean"):
        open_sacid(tmp_path)
    frame.to_csv(tmp_path / "moses.csv", index=False)
    with pytest.raises(PaperlibError, match=r"720 of 720 coded pictures are missing: .*60 of 60 saliency maps are"):
        open_sacid(tmp_path)
