"""Figure 2: the whole way on small folders of one's own, with a tiny network; and runs that stop."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from paperlib import profiles, regenerate
from paperlib.datasets.registry import open_opinions
from paperlib.errors import PaperlibError
from paperlib.experiments.masking import compute, plan, results
from paperlib.maps.fills import fill
from paperlib.maps.masking import blur, quantile_masks
from paperlib.metrics.correlation import srocc
from tests.own_standins import write_own, write_own_opinions

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
        yield


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
    return regenerate.rows("masking", own(folder))


def test_every_map_and_point_is_there(rows, folder):
    test = open_opinions("own", folder).part("test")
    points = rows[(rows["metric"] == "SROCC") & (rows["method"] != "none")]
    for name in compute.MAPS:
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


def test_a_run_that_stops_goes_on_from_its_shards(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(plan, "SHARD", 2)
    profile, forward = own(folder), Sharpness.forward

    def failing(self, images):
        if sum(SCORED) > 150:
            raise RuntimeError("the power went")
        return forward(self, images)

    SCORED.clear()
    monkeypatch.setattr(Sharpness, "forward", failing)
    with pytest.raises(PaperlibError, match="failed"):
        regenerate.rows("masking", profile)
    monkeypatch.setattr(Sharpness, "forward", forward)
    SCORED.clear()
    resumed = regenerate.rows("masking", profile)
    count = sum(SCORED)
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "fresh"))
    SCORED.clear()
    whole = regenerate.rows("masking", profile)
    assert count < sum(SCORED)
    columns = ["method", "metric", "variant", "value", "low", "high"]
    pd.testing.assert_frame_equal(resumed[columns], whole[columns])


def test_results_do_not_depend_on_shards(rows, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(plan, "SHARD", 2)
    other = regenerate.rows("masking", own(folder, shard=50))
    np.testing.assert_allclose(other["value"], rows["value"], atol=1e-9)


@pytest.mark.parametrize("name", ["a/b", "a/b/c/MoRF/0.5", "a|b"])
def test_names_of_users_may_hold_any_sign(name):
    """A row's variant ends in our own words, whatever the network is called."""
    rows = pd.DataFrame(
        [
            {"method": "saliency", "variant": f"{name}/black/{strategy}/0.5", "metric": "SROCC", "seed": 0, "value": value}
            for strategy, value in (("LeRF", 0.8), ("MoRF", 0.5))
        ]
    )
    (gap,) = results.gaps(rows).itertuples()
    assert gap.network == name and gap.gap == pytest.approx(0.3)


def test_own_pictures_with_gaze_alone_are_ranked_by_the_network_itself(tmp_path):
    write_own(tmp_path, 5, 0)
    found = regenerate.rows("masking", own(tmp_path, fills=["mean"]))
    assert found.loc[found["method"] == "none", "value"].iloc[0] == pytest.approx(1)
    assert "LeRF − MoRF, area, GradCAM" in [part.label for part in results.claim_parts(found, profiles.load("own")).subject]


def test_claims_look_at_the_first_network_and_its_interval_over_pictures(rows):
    parts = results.claim_parts(rows, profiles.load("own"))
    area, worst = (next(part for part in parts.subject if part.label == f"LeRF − MoRF, {what}, saliency") for what in WHAT)
    found = rows[(rows["metric"] == "area") & (rows["method"] == "saliency")]
    found = found[found["variant"].str.contains("/black/|/mean/")]
    assert (area.value, area.low, area.high) == pytest.approx(tuple(found[["value", "low", "high"]].mean()))
    assert (area.n, area.over) == (found["n"].iloc[0], "pictures")
    assert worst.value == pytest.approx(
        results.gap_per_fraction(rows).query("map == 'saliency' and fill != 'blur'")["gap"].min()
    )
    assert worst.low < worst.value < worst.high
    assert [(one.label, one.lacks) for one in parts.controls] == [
        ("HalfImage", "gaze"),
        ("centre map", "the picture"),
        ("random map", "the picture"),
    ]


WHAT = ("area", "worst fraction")


def test_what_is_missing_is_one_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("PAPERLIB_DATA_ROOT", raising=False)
    with pytest.raises(PaperlibError, match="--data-root"):
        plan.units(profiles.load("own", models=[MODEL]))
    with pytest.raises(PaperlibError, match="--model"):
        plan.units(profiles.load("own", data_root=str(folder)))
    write_own_opinions(tmp_path, 4, 0)
    with pytest.raises(PaperlibError, match="at least 3 pictures"):
        regenerate.rows("masking", own(tmp_path))
