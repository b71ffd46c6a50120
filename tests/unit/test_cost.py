"""What a profile costs: counts against the units themselves, operations against numbers by hand, and the way to README."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

from paperlib import cli, experiments, profiles
from paperlib.datasets.opinion_standins import write_clive, write_koniq, write_own_opinions
from paperlib.datasets.opinions import open_opinions
from paperlib.datasets.standins import write_cat2000, write_salicon
from paperlib.errors import PaperlibError
from paperlib.experiments import cost, extraction, masking, photo_maps, photo_masking, photo_training, workload
from paperlib.experiments.photo_sources import ORIGINS, Origin, needed_files
from paperlib.experiments.workload import Kind, SetSize
from paperlib.models.inference import prepare
from paperlib.show import summary
from paperlib.show.cost import cost_text, readme_cost

SCORED = []
"""How many pictures each forward pass of `Counting` got."""


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 5, stride=4)

    def forward(self, images):
        SCORED.append(len(images))
        return self.layer(images).mean((1, 2, 3))


def counting():
    return Counting(), "layer"


MODEL = f"{__name__}:counting"


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        for module in (photo_maps, photo_masking, photo_training):
            patch.setattr(module, "write_standins", lambda profile: None)
        yield


# -------------------------------------------------------------------------------------------------------------- counts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Stand-ins, and files that have the names of all weights: units look at no more than their bytes."""
    root = tmp_path_factory.mktemp("data")
    write_koniq(root / "koniq10k", 20, 0)
    write_clive(root / "clive", 4, 0)
    write_salicon(root / "salicon", 5, 0)
    write_cat2000(root / "cat2000", 1, 0, categories=("Action", "Indoor", "Sketch"))
    (root / "weights").mkdir()
    for origin in [*ORIGINS.values(), *(Origin("activation", name) for name in ("efficientnet_b0", "resnet50"))]:
        for name, _ in needed_files(origin):
            (root / "weights" / name).write_bytes(name.encode())
    return root


def units_by_name(units):
    """Experiment and name without a shard's first picture -> units, with all that they need."""
    known, waiting = {}, list(units)
    while waiting:
        unit = waiting.pop()
        if (unit.experiment, unit.name) not in known:
            known[unit.experiment, unit.name] = unit
            waiting += unit.needs
    grouped = {}
    for (experiment, name), unit in known.items():
        grouped.setdefault(f"{experiment}/{re.sub(r'/[0-9]+$', '', name)}", []).append(unit)
    return grouped


@pytest.mark.parametrize("methods", [None, ("baseline", "noise_map")], ids=["all", "no saliency network"])
def test_counts_are_those_of_the_units(data, methods):
    options = {"methods": methods} if methods else {}
    profile = profiles.load("rehearsal", data_root=str(data), weights_root=str(data / "weights"), shard=2, seeds=[0, 1, 2],
                            n_control_seeds=2, models=[MODEL], **options)
    koniq = open_opinions("koniq10k", data / "koniq10k", partial=True)
    assert koniq.splits["test"] > 2 and koniq.splits["validation"] > 1, "parts of more than one shard"
    sets = {"salicon": SetSize(5, 480, 640), "cat2000": SetSize(3, 1080, 1920), "clive": SetSize(4, 500, 500),
            "koniq10k": SetSize(20, 384, 512, koniq.splits)}
    works = workload.tables(profile, sets)
    sections = {"Table I": extraction, "Figure 2": masking, "Table II": photo_training}
    assert set(works) == set(sections)
    for title, module in sections.items():
        found = units_by_name(module.units(profile))
        assert Counter({name: len(some) for name, some in found.items()}) == Counter(
            {work.name: work.units for work in works[title]}
        )
        for work in works[title]:
            given = [unit.arguments for unit in found[work.name]]
            if work.kind and work.kind.what == "step":
                assert work.amount == sum(one["steps"] for one in given)
            elif work.kind and work.kind.on_device and "last" in given[0]:
                pictures = sum(one["last"] - one["first"] for one in given)
                per_picture = 1 if title != "Figure 2" or work.kind.what == "map" else work.amount / pictures
                assert work.amount == pictures * per_picture


def test_pictures_that_a_network_scores_are_counted(tmp_path):
    write_own_opinions(tmp_path, 20, 0)
    profile = profiles.load("own", data_root=str(tmp_path), models=[MODEL], methods=["noise_map"], n_passes=1, shard=3,
                            fractions=[0.3, 0.6], cell_counts=[3, 6, 9], fills=["black", "mean"], n_halves=2, optimise=False,
                            input_height=24, input_width=32)
    needed = [need for unit in masking.units(profile) for shard in unit.needs for need in shard.needs]
    experiments.compute(needed, profile, "maps")
    SCORED.clear()
    experiments.compute(masking.units(profile), profile, "scores")
    n = len(open_opinions("own", tmp_path).part("test"))
    assert sum(SCORED) == workload.scored_pictures(profile, n, saliency=False)
    (work,) = (one for one in workload.tables(profile, {"own": SetSize(n, 1, 1)})["Figure 2"] if "scores" in one.name)
    assert work.amount == sum(SCORED)


def test_official_numbers():
    assert {name: size.pictures for name, size in workload.OFFICIAL.items()} == {
        "salicon": 5000, "cat2000": 2000, "koniq10k": 10073, "clive": 1162
    }
    profile = profiles.load("paper")
    steps = [work for work in workload.tables(profile)["Table II"] if work.kind and work.kind.what == "step"]
    assert len(steps) == 10 * 2 * 3 + 3 * 2 * 2 and {work.amount for work in steps} == {20_000}
    assert workload.scored_pictures(profile, 2015, True) == 2015 * (14 + (4 * 9 + 2 * 11) * 2 * 4) + 200 * 925
    assert workload.forward_passes(Kind("map", ORIGINS["baseline"]), profile) == 7


@pytest.mark.parametrize(("name", "sentence"), [("demo", "no section on photographs"), ("own", "pictures of own is not known"),
                                                ("rehearsal", "a few generated pictures")])
def test_profiles_without_a_count_are_one_sentence(name, sentence):
    with pytest.raises(PaperlibError, match=f"{sentence}.*--profile paper"):
        cost.estimate(profiles.load(name))


# ---------------------------------------------------------------------------------------------------------- operations


def test_operations_of_a_grouped_convolution_by_hand():
    layer = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
    image = torch.zeros(2, 8, 10, 10, requires_grad=True)
    forward = 2 * 2 * 8 * 10 * 10 * 9
    assert cost.operations(lambda: layer(image)) == forward
    assert cost.operations(lambda: layer(image).sum().backward()) == 3 * forward
    assert cost.operations(lambda: layer(image.detach()).sum().backward()) == 2 * forward


def test_operations_of_an_optimised_network_are_the_plain_ones():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 1), torch.nn.BatchNorm2d(16), torch.nn.Conv2d(16, 4, 1)).eval()
    image = torch.zeros(1, 3, 6, 5)
    with torch.inference_mode(), cost.one_thread():
        assert cost.operations(lambda: prepare(network, image)(image)) >= 2 * 30 * (3 * 16 + 16 * 4)
        fast = prepare(network, image)
        assert cost.operations(lambda: fast(image)) == 2 * 30 * (3 * 16 + 16 * 4)


def test_operations_of_resnet50_are_the_published_ones():
    import timm

    network = timm.create_model("resnet50").eval()
    with torch.no_grad():
        flops = cost.operations(lambda: network(torch.zeros(1, 3, 224, 224)))
    assert flops / 2e9 == pytest.approx(4.1, abs=0.05), "He et al. 2016 and timm: 4.1e9 multiplications and additions"


# ------------------------------------------------------------------------------------------------------------ estimate

SAMPLE = cost.Sample(1, 2, 2, 2, steps=1, repetitions=1, seconds=1.0)


def small_paper():
    """The paper profile with a tiny backbone and small pictures."""
    return profiles.load("paper", methods=["noise_map"], models=[MODEL], input_height=48, input_width=64, batch_size=4,
                         backbones=["test_resnet"], targets=["center_only"], seeds=2, training_height=48, training_width=64,
                         crop_height=32, crop_width=48)


@pytest.fixture(scope="module")
def found():
    return cost.estimate(small_paper(), sample=SAMPLE)


def test_hours_are_amounts_times_seconds(found):
    rates = {rate.kind: rate for rate in found.rates}
    assert [table.name for table in found.tables] == ["Table I", "Figure 2", "Table II"]
    for table in (*found.tables, found.total):
        hours = sum(amount * rates[kind].seconds for kind, amount in table.amounts.items()) / 3600
        assert table.hours + table.processor_hours == pytest.approx(hours)
        flops = sum(amount * rates[kind].gigaflop for kind, amount in table.amounts.items())
        assert table.petaflop == pytest.approx(flops / 1e6) and table.petaflop > 0 and table.hours > 0
    assert found.tables[2].training_steps == 20_000 * 2 * 3 and found.tables[0].training_steps == 0
    assert found.total.hours < sum(table.hours for table in found.tables) + 1e-9
    assert found.total.units < sum(table.units for table in found.tables), "gaze is read once for Tables I and II"


def test_two_processes_halve_the_hours(monkeypatch):
    monkeypatch.setattr(cost, "measure", lambda kinds, profile, sample: {
        kind: cost.Rate(kind.label, kind.per, 3.6, 1.0, 0, 1, 1) for kind in kinds
    })
    alone = cost.estimate(small_paper()).total
    monkeypatch.setenv("PAPERLIB_WORKERS", "2")
    assert cost.estimate(small_paper()).total.hours == pytest.approx(alone.hours / 2)


def test_less_at_once_gives_the_same_operations(found):
    """Operations are in proportion to views and pictures; so a wrong factor of a sample shows."""
    kinds = [Kind("map", Origin("quality", MODEL)), Kind("step", Origin("baseline", "test_resnet"), "gradcam_loss"),
             Kind("score", Origin("quality", MODEL))]
    whole = cost.measure(kinds, small_paper(), replace(SAMPLE, pictures=2, passes=6, batch=4, masked=8, steps=2))
    rates = {rate.kind: rate for rate in found.rates}
    for kind, rate in whole.items():
        assert rates[kind.label].gigaflop == pytest.approx(rate.gigaflop, rel=0.02), kind.label
        assert rates[kind.label].measured < rate.measured


def test_text_and_readme_tell_the_same_numbers_and_how(found):
    text = cost_text(found, tflops=10)
    assert "hours at 10 TFLOP/s" in text and "not a measurement" in text and "Extrapolated in proportion" in text
    on_gpu = replace(found, total=replace(found.total, memory=3 * 2**30))
    assert "peak GiB" not in text and "peak GiB" in cost_text(on_gpu) and "  3.0\n" in cost_text(on_gpu)
    assert found.device in text and "bfloat16" in text and "2 of the 4 pictures of a training step" in text
    stored = json.loads(summary.to_json(replace(found, total=replace(found.total, petaflop=7200.0))))
    block = readme_cost(stored)
    assert "T = 20 gives 7,200 / (3.6 × 20) = 100 hours" in block and "not a measurement" in block
    rows = [row.split("|")[1:-1] for row in block.splitlines() if row.startswith(("| T", "| F"))]
    assert [int(row[1].replace(",", "")) for row in rows] == [table.units for table in found.tables]


def test_hours_at_a_speed_by_hand():
    assert cost.hours_at(36.0, 10.0) == 1.0, "36e15 operations at 10e12 per second are 3600 seconds"


# -------------------------------------------------------------------------------------------------------- command line


def test_the_verb_measures_the_paper_profile_and_keeps_it(found, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(cost, "estimate", lambda profile: asked.append(profile.name) or found)
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path))
    assert cli.main(["cost", "--json", "--save"]) == 0
    out = capsys.readouterr().out
    assert asked == ["paper"] and out == (tmp_path / "cost.json").read_text("utf-8")
    assert json.loads(out)["total"]["units"] == found.total.units
    text = "<!-- generated:cost -->\n<!-- /generated:cost -->"
    assert readme_cost(json.loads(out)) in summary.rewrite_readme(text, tmp_path)
    assert cli.main(["cost", "--tflops", "5"]) == 0
    assert "hours at 5 TFLOP/s" in capsys.readouterr().out
    assert cli.main(["cost", "--tflops", "0"]) == 2


def test_other_verbs_keep_their_profile():
    assert cli._parser().parse_args(["prepare"]).profile == "demo"
    assert cli._parser().parse_args(["cost"]).profile == "paper"
