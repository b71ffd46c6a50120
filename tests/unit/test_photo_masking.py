"""Figure 2 on photographs: the whole way on small folders of one's own, with a tiny network, and the score cache."""

import sqlite3

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import experiments, profiles
from paperlib.datasets.opinion_standins import write_own_opinions
from paperlib.datasets.opinions import open_opinions
from paperlib.datasets.standins import write_own
from paperlib.errors import PaperlibError
from paperlib.experiments import judging, masked_scores, masking
from paperlib.experiments import photo_masking as photo
from paperlib.maps.fills import fill
from paperlib.maps.masking import blur, quantile_masks
from paperlib.metrics.correlation import srocc

SCORED = []
"""How many pictures each forward pass of the network got."""


class Sharpness(torch.nn.Module):
    """Higher for sharper pictures, as in the stand-ins."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Conv2d(3, 6, 5, stride=4, padding=2)

    def forward(self, images):
        SCORED.append(len(images))
        return self.layer(images).relu().mean((1, 2, 3)) + images.std((1, 2, 3))


def sharpness():
    return Sharpness(), "layer"


MODEL = f"{__name__}:sharpness"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    write_own_opinions(root, 25, 0)
    (root / "saliency_ramp").mkdir()
    for record in open_opinions("own", root).records:
        ramp = np.tile(np.linspace(0, 255, record.size[1]).astype(np.uint8), (record.size[0], 1))
        Image.fromarray(ramp).save(root / "saliency_ramp" / f"{record.path.stem}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        experiments.rows.cache_clear()
        yield
        experiments.rows.cache_clear()


def own(folder, **values):
    options = {
        "shard": 3,
        "n_passes": 2,
        "fractions": [0.3, 0.6],
        "cell_counts": [6],
        "fills": ["black", "blur"],
        "optimise": False,
    } | values
    return profiles.load("own", data_root=str(folder), models=[MODEL], **options)


@pytest.fixture(scope="module")
def rows(folder):
    return experiments.rows("masking", own(folder))


def test_every_map_and_point_is_there(rows, folder):
    test = open_opinions("own", folder).part("test")
    points = rows[(rows["metric"] == "SROCC") & (rows["method"] != "none")]
    for name in masked_scores.MAPS:
        per_fill = 2 if name in ("half_image", "saliency_grid") else 4
        assert (points["method"] == name).sum() == 2 * per_fill
    assert (points["n"] == len(test)).all()


def test_a_point_is_what_the_parts_give_by_hand(rows, folder):
    test = open_opinions("own", folder).part("test")
    network = Sharpness().eval()
    scores = []
    for record in test.records:
        image = record.load_image()
        ramp = np.asarray(Image.open(folder / "saliency_ramp" / f"{record.path.stem}.png"))
        masks = quantile_masks(blur(ramp[None], 2.0, 101), [0.3])
        shown = torch.from_numpy(fill(image[None], masks.of("MoRF", 0.3), "blur"))
        with torch.no_grad():
            scores.append(network(shown.permute(0, 3, 1, 2).float() / 255).item())
    row = rows[(rows["variant"] == f"{MODEL}/blur/MoRF/0.3") & (rows["method"] == "saliency") & (rows["metric"] == "SROCC")]
    unmasked = rows.loc[rows["method"] == "none", "value"].iloc[0]
    assert unmasked > 0, "networks whose scores fall with quality are turned around"
    assert abs(row["value"].iloc[0]) == pytest.approx(abs(srocc(scores, test.mos)), abs=1e-12)


def scored_by(profile):
    SCORED.clear()
    experiments.rows.cache_clear()
    found = experiments.rows("masking", profile)
    return sum(SCORED), found


def test_only_what_is_new_is_scored(rows, folder):
    n = len(open_opinions("own", folder).part("test"))
    count, again = scored_by(own(folder))
    assert count == 0
    count, fewer = scored_by(own(folder, fractions=[0.3]))
    assert count == 0, "another choice of fractions is read from the cache"
    keys = ["method", "variant", "metric"]
    both = fewer.merge(again, on=keys, suffixes=("", "_before"))
    points = both[both["metric"] == "SROCC"]
    np.testing.assert_array_equal(points["value"], points["value_before"])
    count, _ = scored_by(own(folder, fractions=[0.3, 0.6, 0.9]))
    assert count == n * 4 * 2 * 2, "four maps in two orders with two fills at the new fraction"
    count, _ = scored_by(own(folder, fills=["black", "mean", "blur"]))
    assert count == n * (4 * 2 * 2 + 2 * 2), "four maps at two fractions and two of cells at one, with the new fill"


def test_a_run_that_stops_goes_on_from_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    profile = own(folder, shard=50)
    forward = Sharpness.forward

    def failing(self, images):
        if sum(SCORED) > 150:
            raise RuntimeError("the power went")
        return forward(self, images)

    SCORED.clear()
    monkeypatch.setattr(Sharpness, "forward", failing)
    experiments.rows.cache_clear()
    with pytest.raises(PaperlibError, match="failed"):
        experiments.rows("masking", profile)
    (file,) = (profile.store_root / "scores").glob("*.sqlite")
    connection = sqlite3.connect(file)
    (kept,) = connection.execute("SELECT count(*) FROM scores").fetchone()
    connection.close()
    assert kept > 50
    monkeypatch.setattr(Sharpness, "forward", forward)
    resumed, _ = scored_by(profile)
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "fresh"))
    whole, _ = scored_by(profile)
    assert resumed < whole


def test_own_pictures_with_gaze_alone_are_ranked_by_the_network_itself(tmp_path):
    write_own(tmp_path, 5, 0)
    found = experiments.rows("masking", own(tmp_path, fills=["mean"]))
    assert found.loc[found["method"] == "none", "value"].iloc[0] == pytest.approx(1)
    assert "LeRF − MoRF, GradCAM" in judging.masking_parts(found)


def test_claims_look_at_the_first_network(rows):
    parts = judging.masking_parts(rows)
    expected = masking.gaps(rows).query("map == 'saliency' and fill == 'black'")["gap"].iloc[0]
    assert parts["LeRF − MoRF, saliency"].iloc[0] == pytest.approx(expected)


def test_what_is_missing_is_one_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("PAPERLIB_DATA_ROOT", raising=False)
    with pytest.raises(PaperlibError, match="--data-root"):
        photo.units(profiles.load("own", models=[MODEL]))
    with pytest.raises(PaperlibError, match="--model"):
        photo.units(profiles.load("own", data_root=str(folder)))
    write_own_opinions(tmp_path, 4, 0)
    with pytest.raises(PaperlibError, match="at least 3 pictures"):
        experiments.rows("masking", own(tmp_path))
