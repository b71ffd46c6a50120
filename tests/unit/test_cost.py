"""What a profile costs: counts against the units themselves, operations against numbers by hand, and the way to README."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from paperlib import cli, profiles
from paperlib.errors import PaperlibError
from paperlib.experiments.compression import plan as coding_plan
from paperlib.models.folding import prepare
from paperlib.models.quality.methods import Method, Traits, describe
from paperlib.show import summary
from paperlib.show.cost import cost_text, readme_cost
from paperlib.sources.source import Source
from paperlib.tasks import cost, workload
from paperlib.tasks.workload import METHOD, OFFICIAL, Kind

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
        yield


# -------------------------------------------------------------------------------------------------------------- counts


def amounts_of(works):
    found = {}
    for work in works:
        if work.kind:
            found[work.kind.label] = found.get(work.kind.label, 0) + work.amount
    return found


def test_work_is_counted_by_hand():
    """Four pictures per set and part: every number follows from the profile."""
    sets = {name: replace(size, pictures=4, height=1000, width=1000, parts={}) for name, size in OFFICIAL.items()}
    sets["sacid"] = replace(sets["sacid"], pictures=4 * 12)
    profile = profiles.load(
        "paper", seeds=1, datasets=["salicon"], methods=["topiq", "noise_map"], fractions=[0.3, 0.6], cell_counts=[6],
        fills=["black"], n_halves=1, backbones=["test_resnet"], targets=["center_only"], steps=7, shard=3,
        scored_methods=["psnr", "musiq", "baseline"], weighting_model="", sequence_shard=3,
    )  # fmt: skip
    works = workload.tables(profile, sets)
    maps = {"map: topiq": 4, "map: noise": 4.0, "measuring": 4 * (1 + 2 + 1 + 1)}
    assert amounts_of(works["Table I"]) == maps
    shown = 4 * (1 + 13 + (3 * 2 + 1 * 1) * 2 * 1) + 925
    assert amounts_of(works["Figure 2"]) == {"map: topiq": 4, "score: topiq": shown}
    assert amounts_of(works["Table II"])["step: gradcam_loss test_resnet"] == 7
    judged = {"judge: psnr": 48, "judge: musiq": 48, "judge: test_resnet": 48}
    assert judged.items() <= amounts_of(works["Table III"]).items()
    units = [work.name for work in works["Table I"]]
    assert len(units) == len(set(units)) == 1 + 2 * 2 + 4 + 1, "gaze, maps in two shards, four measured, differences"


def test_an_unknown_weighting_model_is_one_sentence():
    with pytest.raises(PaperlibError, match="weighting_model='eyes' is not known"):
        workload.tables(profiles.load("paper", weighting_model="eyes"))


def test_official_numbers():
    assert {name: size.pictures for name, size in workload.OFFICIAL.items()} == {
        "salicon": 5000,
        "cat2000": 2000,
        "koniq10k": 10073,
        "clive": 1162,
        "sacid": 720,
    }
    assert workload.OFFICIAL["sacid"].megapixels == pytest.approx(157.57 / 60, abs=0.001), "test pictures of CLIC 2021"
    profile = profiles.load("paper")
    steps = [work for work in workload.tables(profile)["Table II"] if work.kind and work.kind.what == "step"]
    assert len(steps) == 10 * 2 * 3 + 3 * 2 * 2 and {work.amount for work in steps} == {20_000}
    together = workload.together(workload.tables(profile))
    assert sum(work.amount for work in together if work.kind and work.kind.what == "step") == 72 * 20_000
    judged = [work for work in together if work.kind and work.kind.what == "judge"]
    rows = 22 + 2 * 4 + 3 * 10
    assert {work.amount for work in judged} == {240}, "shards of twenty photographs"
    assert len(judged) == 3 * rows, "methods, controls of two EW metrics, Baselines with ten seeds"
    scored = [work for work in together if work.name.startswith("masking/scores/baseline/")]
    assert sum(work.amount for work in scored) == 2015 * (14 + (4 * 9 + 2 * 11) * 2 * 4) + 200 * 925
    assert workload.forward_passes(Kind("map", Source("baseline", "efficientnet_b0")), profile) == 7


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("demo", "no section on photographs"),
        ("own", "pictures of own is not known"),
        ("rehearsal", "a few generated pictures"),
    ],
)
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

SAMPLE = cost.Sample(1, 2, 2, 2, coded=(64, 96), crops=2, steps=1, repetitions=1, seconds=1.0)


def small_paper():
    """The paper profile with a tiny backbone and small pictures."""
    return profiles.load(
        "paper",
        methods=["noise_map"],
        models=[MODEL],
        input_height=48,
        input_width=64,
        batch_size=4,
        backbones=["test_resnet"],
        targets=["center_only"],
        seeds=2,
        training_height=48,
        training_width=64,
        crop_height=32,
        crop_width=48,
        weighting_model="noise_map",
        scored_methods=["psnr", "ew_psnr", "brisque", *coding_plan.BASELINES],
    )


@pytest.fixture(scope="module")
def found():
    return cost.estimate(small_paper(), sample=SAMPLE)


def test_hours_are_amounts_times_seconds(found):
    rates = {rate.kind: rate for rate in found.rates}
    assert [table.name for table in found.tables] == ["Table I", "Figure 2", "Table II", "Table III"]
    for table in (*found.tables, found.total):
        hours = sum(amount * rates[kind].seconds for kind, amount in table.amounts.items()) / 3600
        assert table.hours + table.processor_hours == pytest.approx(hours)
        flops = sum(amount * rates[kind].gigaflop for kind, amount in table.amounts.items())
        assert table.petaflop == pytest.approx(flops / 1e6) and table.petaflop > 0 and table.hours > 0
    assert found.tables[2].training_steps == 20_000 * 2 * 3 and found.tables[0].training_steps == 0
    assert found.total.hours < sum(table.hours for table in found.tables) + 1e-9
    assert found.tables[3].training_steps == 20_000 * 2 * 3 and found.total.training_steps == 20_000 * 2 * 3
    assert found.tables[3].forward_passes == 720 * (2 + 3 * 2), "BRISQUE, a model, three Baselines with two seeds"
    formulas = 720 * (rates["judge: psnr"].seconds + 5 * rates["judge: ew_psnr"].seconds)
    maps = 60 * 1324 * 1984 / 1e6 * rates["map: noise"].seconds
    maps += found.tables[2].amounts["map: center_only"] * rates["map: center_only"].seconds
    assert found.tables[3].processor_hours == pytest.approx((formulas + maps) / 3600)
    assert rates["judge: psnr"].measured == 1.0 and rates["judge: brisque"].measured == 64 * 96 / (1324 * 1984)
    assert found.total.units < sum(table.units for table in found.tables), "gaze is read once for Tables I and II"


def test_two_processes_halve_the_hours(monkeypatch):
    monkeypatch.setattr(
        cost,
        "measure",
        lambda kinds, profile, sample: {kind: cost.Rate(kind.label, kind.per, 3.6, 1.0, 0, 1, 1) for kind in kinds},
    )
    alone = cost.estimate(small_paper()).total
    monkeypatch.setenv("PAPERLIB_WORKERS", "2")
    assert cost.estimate(small_paper()).total.hours == pytest.approx(alone.hours / 2)


def test_less_at_once_gives_the_same_operations(found):
    """Operations are in proportion to views and pictures; so a wrong factor of a sample shows."""
    kinds = [
        Kind("map", Source("quality", MODEL)),
        Kind("step", Source("baseline", "test_resnet"), "gradcam_loss"),
        Kind("score", Source("quality", MODEL)),
        Kind("judge", Source("baseline", "test_resnet")),
    ]
    more = replace(SAMPLE, pictures=2, passes=6, batch=4, masked=8, coded=(512, 768), steps=2)
    whole = cost.measure(kinds, small_paper(), more)
    rates = {rate.kind: rate for rate in found.rates}
    for kind, rate in whole.items():
        assert rates[kind.label].gigaflop == pytest.approx(rate.gigaflop, rel=0.02), kind.label
        assert rates[kind.label].measured < rate.measured


OPENED = []
"""(method, folder, device, crops) of every method that was opened, and the shapes that it scored."""


@pytest.fixture
def judges(monkeypatch):
    """Methods whose network does 1e6 multiplications per crop, or one per value of the picture, and knows its pictures."""

    def opened(name, folder, device, crops):
        shapes = []
        OPENED.append((name, folder, str(device), crops, shapes))

        def compute(image, reference, saliency):
            shapes.append((image.shape, image.dtype, reference.shape, saliency.shape))
            if name == "large" and device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            n = crops * 1_000_000 if crops else image.size
            return float(torch.ones(1, n) @ torch.ones(n, 1))

        return Method(name, True, True, True, (), compute)

    OPENED.clear()
    monkeypatch.setattr(cost, "open_method", opened)
    monkeypatch.setattr(cost, "random_files", lambda *_: [])
    monkeypatch.setattr(cost, "describe", lambda name: Traits(name, True, True, True, ()))


def judged(name, sample=SAMPLE, **values):
    kind = Kind("judge", Source(METHOD, name))
    return cost.measure([kind], profiles.load("paper", **values), sample)[kind]


def test_what_a_method_looks_at_is_extrapolated_to_a_whole_picture(judges):
    whole = 1324 * 1984 * 3 * 2 / 1e9
    assert judged("musiq").gigaflop == pytest.approx(whole) and OPENED[-1][4][0][0] == (64, 96, 3)
    assert judged("musiq", replace(SAMPLE, coded=None)).gigaflop == pytest.approx(whole)
    assert judged("sgdnet_none").measured == 1 and OPENED[-1][4][0][0] == (1324, 1984, 3)
    assert judged("ew_psnr").measured == 1 and OPENED[-1][4][0][3] == (1324, 1984)
    small = judged("musiq", size_mode="resize_384_512_or_512_384")
    assert small.gigaflop == pytest.approx(384 * 512 * 3 * 2 / 1e9) and OPENED[-1][4][0][:2] == ((64, 96, 3), np.float32)


@pytest.mark.parametrize("name", cost.CROPS)
def test_crops_are_extrapolated_to_as_many_as_are_scored(judges, name):
    from pyiqa.utils.registry import ARCH_REGISTRY

    for crops, given in ((2, 2), (0, cost.CROPS[name])):
        found = judged(name, replace(SAMPLE, crops=crops))
        assert found.gigaflop == pytest.approx(2e-3 * cost.CROPS[name]) and OPENED[-1][3] == given
        assert found.measured == given / cost.CROPS[name] and OPENED[-1][4][0][0] == (1324, 1984, 3)
    assert judged(name, crops=6).gigaflop == pytest.approx(2e-3 * 6), "the profile's own number"
    describe(name)
    classes = {"ahiq": "AHIQ", "maniqa": "MANIQA", "tres": "TReS", "hyperiqa": "HyperNet"}
    __import__(f"pyiqa.archs.{classes[name].lower()}_arch")
    given = inspect.signature(ARCH_REGISTRY.get(classes[name]).__init__).parameters
    assert [given[key].default for key in ("num_crop", "test_sample") if key in given] == [cost.CROPS[name]]


def test_a_picture_too_large_for_the_gpu_is_scored_on_the_processor(judges, monkeypatch):
    monkeypatch.setattr(cost, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    profile = profiles.load("paper")
    for name, where in (("large", "cpu"), ("musiq", "cuda")):
        run, _ = cost._judge_probe(Kind("judge", Source(METHOD, name)), profile, SAMPLE)
        run()
        assert OPENED[-1][2] == where


def test_the_text_says_how_coded_pictures_were_measured(found):
    text = cost_text(found)
    assert "64 x 96 pixels" in text and "2.63 megapixels" in text and "AHIQ 20" in text and "crops on 2 of them" in text
    on_gpu = replace(found, sample=cost.sample_of(small_paper(), processor=False))
    assert "with all their crops" in cost_text(on_gpu) and "proportion to crops" not in cost_text(on_gpu)
    assert cost.sample_of(small_paper(), processor=True).coded == (384, 512)
    without = replace(found, tables=found.tables[:3])
    assert "Table III" in text and "Table III" not in cost_text(without)


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
