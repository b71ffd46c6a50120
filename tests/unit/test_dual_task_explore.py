"""The film of the training: the very training of Table II, watched without touching it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import profiles
from paperlib.engine.units import Result
from paperlib.experiments.dual_task import explore
from paperlib.experiments.dual_task.explore import NO_FILM, FilmChoice, Material, watch
from paperlib.experiments.dual_task.film import EARLY, N_PICTURES, film
from paperlib.experiments.dual_task.plan import film_units, sets_to_test_on, shown_trainings, units_that_test
from paperlib.experiments.running import compute
from paperlib.maps.hirescam import extract
from paperlib.metrics.saliency import cc
from paperlib.paper import look
from paperlib.show import playground
from paperlib.sources.networks import load_trained

VARIANTS = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
WORLD = {"n_train": 160, "n_test": 12, "n_fit": 4, "height": 32, "width": 48}
EPOCHS = 2
SMALL = WORLD | {"steps": EPOCHS * 5, "warm_up": 1, "n_passes": 2}


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        yield profiles.load("demo", **SMALL)


@pytest.fixture(scope="module")
def results(profile) -> dict[str, Result]:
    trained, sets = shown_trainings(profile, VARIANTS), sets_to_test_on(profile, ["world"], [])
    units = {f"film/{name}": unit for name, unit in film_units(profile).items()}
    for name, one in trained.items():
        units[f"network/{name}"] = one.unit
        (units[f"quality/{name}"],) = units_that_test(profile, one, *sets)
    units["test"] = next(unit for unit in units["film/baseline"].needs if "/test/" in unit.name)
    done = compute(units.values(), profile, "film")
    return {role: done[unit.name] for role, unit in units.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_ends_with_network_and_quality_of_table_2(results, variant):
    film, network = results[f"film/{variant}"], results[f"network/{variant}"]
    assert set(film.arrays) == {*network.arrays, "maps"}
    for name, values in network.arrays.items():
        np.testing.assert_array_equal(film.arrays[name], values, err_msg=name)
    last = film.rows[(film.rows["variant"] == f"epoch {EPOCHS}") & (film.rows["metric"] == "SROCC")]
    table = results[f"quality/{variant}"].rows
    table = table[table["metric"] == "SROCC"]
    assert last["value"].item() == table["value"].item() and last["n"].item() == SMALL["n_test"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_last_maps_are_those_of_the_trained_network(results, profile, variant):
    trained = shown_trainings(profile, VARIANTS)[variant]
    network = load_trained(dict(trained.recipe), results[f"network/{variant}"].arrays)
    images = results["test"].arrays["images"][:N_PICTURES]
    if variant == "baseline_sal_loss":
        with torch.no_grad():
            grid = network.decode(network.features(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255))
        expected = torch.nn.functional.interpolate(grid[:, None], (32, 48), mode="bilinear")[:, 0].numpy()
    else:
        expected = extract(network, images, n_passes=2)
    maps = results[f"film/{variant}"].arrays["maps"]
    assert maps.shape == (1 + len(EARLY) + EPOCHS, N_PICTURES, 32, 48)
    np.testing.assert_allclose(maps[-1], expected, atol=2e-3)
    steps = np.abs(np.diff(maps.astype(float), axis=0)).max((1, 2, 3))
    assert (steps > 1e-3).all(), "every look sees another map"


def test_before_training_the_networks_differ_in_nothing_that_scores(results):
    first = {name: results[f"film/{name}"].rows.set_index(["variant", "metric"])["value"]["epoch 0"] for name in VARIANTS}
    assert first["baseline"].to_dict() == first["baseline_gradcam_loss"].to_dict()
    assert first["baseline"]["SROCC"] == first["baseline_sal_loss"]["SROCC"]


def test_a_film_needs_no_checkpoint_of_a_killed_run(results, profile, tmp_path: Path):
    """Its training starts afresh, whatever lies in the folder of an earlier attempt."""
    unit = film_units(profile)["baseline"]
    done = compute(unit.needs, profile, "needs")
    (tmp_path / "state.pt").write_bytes(b"of somebody else")
    found = film(unit.arguments | {"steps": 5}, done, tmp_path)
    assert found.rows["variant"].unique().tolist() == ["epoch 0", "epoch 0.25", "epoch 0.5", "epoch 1"]
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


# ----------------------------------------------------------------------------------------------------- what is shown


def make_film() -> Material:
    rng = np.random.default_rng(3)
    epochs = (0.0, 0.5, 1.0, 2.0)
    density = rng.random((2, 24, 36), dtype=np.float32)
    states = [(name, f"epoch {epoch:g}", metric) for name in VARIANTS for epoch in epochs for metric in ("CC", "SROCC")]
    rows = pd.DataFrame(states, columns=["method", "variant", "metric"]).assign(value=rng.random(len(states)))
    maps = {name: rng.random((len(epochs), 2, 24, 36)).astype(np.float16) for name in VARIANTS}
    images = rng.integers(0, 256, (2, 24, 36, 3), dtype=np.uint8)
    return Material(images, density / density.sum((1, 2), keepdims=True), maps, rows)


@pytest.fixture(scope="module")
def material() -> Material:
    return make_film()


def test_a_view_is_the_stored_frame(material):
    assert material.epochs == [0, 0.5, 1, 2] and material.standard == FilmChoice(0, VARIANTS[-1], 2)
    view = watch(material, FilmChoice(1, "baseline_sal_loss", 0.5))
    np.testing.assert_array_equal(view.saliency, material.maps["baseline_sal_loss"][1, 1])
    assert view.agreement == pytest.approx(cc(view.saliency, material.density[1]), abs=1e-6)
    assert (view.caption, view.label, view.map_of, view.trained) == ("picture 2", "Baseline-Sal-Loss", "decoder", 2)
    rows = material.rows
    one = rows[(rows["method"] == "baseline") & (rows["variant"] == "epoch 2") & (rows["metric"] == "SROCC")]
    assert material.curves.loc[("baseline", 2.0), "SROCC"] == one["value"].item()


@pytest.mark.parametrize("change", [{"image": 2}, {"image": -1}, {"variant": "saliency_net"}, {"epoch": 3}])
def test_what_is_not_there_is_refused(material, change):
    with pytest.raises(ValueError, match="expected one of"):
        watch(material, replace(material.standard, **change))


def test_without_micro_world_there_is_no_film():
    assert explore.material(profiles.load("rehearsal")) is None and "micro-world" in NO_FILM


def test_the_sheet_has_a_row_per_network_and_a_column_per_look(material):
    figure = playground.film(material, 1)
    shown = [ax for ax in figure.axes if ax.get_xlabel().startswith("CC ")]
    assert len(shown) == 3 * 4
    for place, ax in enumerate(shown):
        variant, look_ = VARIANTS[place // 4], place % 4
        np.testing.assert_array_equal(ax.images[-1].get_array(), material.maps[variant][look_, 1])
    assert [ax.get_title() for ax in shown[:4]] == ["start", "epoch 0.5", "epoch 1", "epoch 2"]
    assert [text.get_text().replace("\n", "") for text in figure.texts] == [
        f"{look(name).label}:{found}" for name, found in zip(VARIANTS, ("GradCAM", "decoder", "GradCAM"), strict=True)
    ]


def test_every_dot_of_the_sheet_stands_below_its_map(material):
    figure = playground.film(material)
    maps = [ax for ax in figure.axes if ax.get_xlabel().startswith("CC ")][:4]
    for ax, metric in zip(figure.axes[-2:], ("CC", "SROCC"), strict=True):
        lines = [line for line in ax.lines if len(line.get_xdata()) == 4]
        for line, name in zip(lines, VARIANTS, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), material.curves.loc[name, metric])
        for place, above in enumerate(maps):
            x, _ = figure.transFigure.inverted().transform(ax.transData.transform((place, 0)))
            middle = (above.get_position().x0 + above.get_position().x1) / 2
            assert x == pytest.approx(middle, abs=0.01)


def test_the_sheet_tells_first_and_last_numbers(material):
    said = {text.get_text() for text in playground.film(material).axes[-1].texts}
    curves = material.curves["SROCC"].unstack("method")
    ends = {f"{curves[name].iloc[-1]:.2f} {look(name).label.removeprefix('Baseline-')}" for name in VARIANTS}
    starts = {f"{curves[VARIANTS[0]].iloc[place]:.2f}" for place in range(2)}
    assert ends | starts <= said


def test_the_course_of_the_training_is_drawn_with_a_line_at_the_chosen_epoch(material):
    view = watch(material, FilmChoice(0, "baseline", 0.5))
    figure = playground.watched(view)
    for ax, metric in zip(figure.axes[3:], ("CC", "SROCC"), strict=True):
        *curves, now = ax.lines
        assert list(now.get_xdata()) == [0.5, 0.5]
        for line, name in zip(curves, VARIANTS, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), material.curves.loc[name, metric])
        assert {text.get_text() for text in ax.texts} == {look(name).label for name in VARIANTS}


@pytest.mark.parametrize("levels", [[0.5, 0.5, 0.5], [0.9, 0.88, 0.1], [0.0, 1.0, 2.0]])
def test_names_beside_lines_keep_apart_and_in_order(levels):
    placed = playground._spread(levels, 0.2)
    assert min(np.diff(sorted(placed))) > 0.19
    assert list(np.argsort(placed, kind="stable")) == list(np.argsort(levels, kind="stable"))
