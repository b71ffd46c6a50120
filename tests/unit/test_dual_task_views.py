"""What section III-C shows besides Table II, on networks and maps that are made up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from paperlib import experiments, profiles
from paperlib.rehearsal.salicon_cat2000 import write_salicon
from paperlib.engine.units import Result, Unit
from paperlib.experiments import dual_task, photo_training
from paperlib.experiments import dual_task_views as views
from paperlib.experiments.photo_sets import open_gaze_source
from paperlib.profiles import DualTaskSettings


def photographs(**values):
    settings = DualTaskSettings("koniq10k", gaze_sets=("salicon",), backbones=("test_resnet",))
    return replace(profiles.load("rehearsal", **values), dual_task=settings)


def scored(**methods):
    """Rows of three repeats by method."""
    return pd.DataFrame(
        [
            {"method": method, "dataset": dataset, "metric": metric, "variant": "quality", "seed": seed, "value": value}
            for method, values in methods.items()
            for dataset in ("world", "world_shifted")
            for metric in ("PLCC", "SROCC")
            for seed, value in enumerate(values)
        ]
    )


def test_the_decoder_adds_a_weight_per_channel_and_a_bias_and_the_gradcam_loss_nothing():
    counts = views.parameters(photographs())["parameters"]
    assert counts["baseline_gradcam_loss"] == counts["baseline"]
    assert counts["baseline_sal_loss"] == counts["baseline"] + 96 + 1
    assert len(counts) == 3


def test_equivalence_takes_the_sets_of_the_rows():
    rows = scored(
        baseline=[0.80, 0.82, 0.81], baseline_sal_loss=[0.801, 0.821, 0.812], baseline_gradcam_loss=[0.7, 0.72, 0.711]
    )
    found = dual_task.equivalence(rows, profiles.load("demo"))
    assert found["verdict"].to_dict() == {
        (method, dataset): verdict
        for method, verdict in (("baseline_sal_loss", "equivalent"), ("baseline_gradcam_loss", "lower"))
        for dataset in ("world", "world_shifted")
    }
    assert found.loc["baseline_sal_loss", "world"]["difference"] == pytest.approx(0.004 / 3)
    assert dual_task.equivalence(rows[rows["seed"] == 0], profiles.load("demo")).empty


def test_home_is_the_first_set_of_each_block():
    rows = pd.DataFrame(
        [
            (method, dataset, variant)
            for method in ("baseline", "center_prior")
            for dataset in ("world", "world_shifted", "koniq10k", "clive", "salicon", "cat2000")
            for variant in ("quality", "fitted", "raw")
        ],
        columns=["method", "dataset", "variant"],
    )
    for profile, sets in ((profiles.load("demo"), {"world"}), (photographs(), {"koniq10k", "salicon"})):
        home = views.at_home(rows, profile)
        assert set(home["dataset"]) == sets and set(home["method"]) == {"baseline"}
        assert set(home["variant"]) == {"quality", "fitted"} and len(home) == 2 * len(sets)


def test_pictures_get_their_own_maps_at_the_size_that_networks_see(tmp_path, monkeypatch):
    """Two shards; the grey level of a map tells its network and its picture."""
    write_salicon(tmp_path / "salicon", 3, 0)
    profile = photographs(data_root=str(tmp_path), input_height=48, input_width=64, seeds=[5, 6])
    units = {
        method: [Unit.of("dual_task", f"{method}/{first}", "none:none", first=first) for first in (0, 2)]
        for method in views.SHOWN
    }

    def wanted_maps(profile, methods, n):
        assert methods == views.SHOWN and n >= 3
        return open_gaze_source(profile, "salicon"), units

    def stored(wanted, profile, title):
        return {
            unit.name: Result(
                arrays={
                    f"plain.{index}": np.full((480, 640), 100 * ("gradcam" in unit.name) + index, np.uint8)
                    for index in {0: (0, 1), 2: (2,)}[dict(unit.params)["first"]]
                }
            )
            for unit in wanted
        }

    monkeypatch.setattr(photo_training, "shown_maps", wanted_maps)
    monkeypatch.setattr(experiments, "compute", stored)
    shown = views.learnt_maps(profile)
    assert [image.shape for image in shown.images] == [(48, 64, 3)] * 3 and len(shown.captions) == 3
    density, baseline, gradcam = shown.rows.values()
    assert list(shown.rows) == ["Gaze density", "Baseline", "Baseline-GradCAM-Loss"]
    assert all(one.max() == 1 and one.shape == (48, 64) for one in density)
    for maps, level in ((baseline, 0), (gradcam, 100)):
        assert [one.shape for one in maps] == [(48, 64)] * 3
        np.testing.assert_allclose([one.mean() * 255 for one in maps], [level, level + 1, level + 2], atol=1e-3)
