"""Section III-D: does saliency help to judge images that were coded with saliency? Table III and its controls.

Ten photographs are coded at three bit-rates with four presets of a saliency-driven encoder; simulated assessors compare
the versions in pairs; their votes become Bradley-Terry scores; every method is asked how well it agrees with them.

Nothing here lets a metric judge itself. The assessors look where the *gaze* density says and see damage by Watson's
DCT model; the encoder and the eye-tracking weighted metrics know the *predicted* map alone. The same study is run with
assessors who look everywhere alike (`uniform`): what a metric wins there, it does not owe to saliency.
"""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from paperlib import paper
from paperlib.coding import votes
from paperlib.coding.rate import encode_at_rate
from paperlib.coding.x264 import EncoderSettings, StillEncoder, allocate, decode, macroblock_mean, plain_qp
from paperlib.datasets.photographs import (
    PHOTOGRAPHS,
    Photograph,
    centre_bias,
    fingerprint,
    open_photographs,
    predicted_saliency,
)
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.artefacts import Column, TableData
from paperlib.metrics.agreement import per_image
from paperlib.metrics.correlation import bootstrap_interval
from paperlib.metrics.weighted import ew_psnr, ew_ssim, psnr, ssim
from paperlib.vocabulary import OBSERVERS

if TYPE_CHECKING:
    from torch import nn

    from paperlib.profiles import CompressionSettings, Profile

DATASET = "photographs"
METRICS = ("SROCC", "PLCC", "FracCP")
NETWORKS = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
PYIQA = ("vif", "gmsd", "vsi", "nlpd", "piqe")
"""Metrics that pyiqa computes without any weights, so that nothing is downloaded. FSIM too needs none; it is slow."""
WEIGHTINGS = {"": "predicted", "_center": "center", "_shuffled": "shuffled", "_gaze": "gaze"}
"""Suffix of the EW-PSNR and EW-SSIM rows and the map they weigh with."""
ROWS = {
    "NSS based": ("ms_ssim", "psnr", "ssim", "vif", "ew_ssim", "ew_psnr"),
    "Added, FR": ("gmsd", "vsi", "nlpd"),
    "NR": NETWORKS,
    "Added, NR": ("piqe",),
    "Control": (
        "bitrate_only",
        "preset_order",
        "ew_psnr_center",
        "ew_psnr_shuffled",
        "ew_psnr_gaze",
        "ew_ssim_center",
        "ew_ssim_shuffled",
        "ew_ssim_gaze",
    ),
}
"""Rows of Table III that run here; the paper's other rows are shown with its numbers alone."""


# ------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """All units of Table III: agreement per kind of observers and seed, the votes, and the coded versions."""
    coded = [coding_unit(profile, index) for index in range(_count(profile.compression))]
    kinds = _kinds(profile)
    polls = {(kind, seed): votes_unit(profile, coded, kind, seed) for kind in kinds for seed in profile.seeds}
    scored = [scores_unit(profile, unit, index) for index, unit in enumerate(coded)]
    judged = {seed: networks_unit(profile, coded, seed) for seed in profile.seeds}
    agreement = [agreement_unit(profile, scored, judged[seed], poll, kind, seed) for (kind, seed), poll in polls.items()]
    return [*agreement, *polls.values(), *coded]


def _kinds(profile: "Profile") -> list[str]:
    """The profile's observers first, then the control."""
    return [profile.observers, *(kind for kind in OBSERVERS[1:] if kind != profile.observers)]


def _count(settings: "CompressionSettings") -> int:
    if not 2 <= settings.n_photographs <= len(PHOTOGRAPHS):
        raise ValueError(f"n_photographs must lie in [2, {len(PHOTOGRAPHS)}], got {settings.n_photographs}")
    return settings.n_photographs


@cache
def _photograph(name: str) -> Photograph:
    return open_photographs([name])[0]


@cache
def _fingerprint(*names: str) -> str:
    return fingerprint([_photograph(name) for name in names])


def coding_unit(profile: "Profile", index: int) -> Unit:
    """All versions of one photograph, and how much damage is seen where."""
    settings = profile.compression
    name = PHOTOGRAPHS[index]
    return Unit.of(
        "compression",
        f"coding/{name}",
        "paperlib.experiments.world_compression:code",
        photograph=name,
        cost=2.0,
        fingerprint=_fingerprint(name),
        bpps=settings.bpps,
        presets=settings.presets,
        encoder_preset=settings.encoder_preset,
    )


def scores_unit(profile: "Profile", coded: Unit, index: int) -> Unit:
    """Scores of one photograph's versions by all methods that need no training; the next one lends the shuffled map."""
    count = _count(profile.compression)
    name, other = PHOTOGRAPHS[index], PHOTOGRAPHS[(index + 1) % count]
    return Unit.of(
        "compression",
        f"scores/{name}",
        "paperlib.experiments.world_compression:score",
        needs=[coded],
        cost=8.0,
        photograph=name,
        shuffled_with=other,
        fingerprint=_fingerprint(name, other),
        pyiqa=PYIQA,
    )


def networks_unit(profile: "Profile", coded: list[Unit], seed: int) -> Unit:
    """Scores of all versions by the three networks of section III-C, trained in the micro-world."""
    from paperlib.experiments.networks import baseline_units

    trained = baseline_units(profile, seed)
    return Unit.of(
        "compression",
        f"networks/seed{seed}",
        "paperlib.experiments.world_compression:score_with_networks",
        cost=4.0,
        needs=[*coded, *trained.values()],
        coded=[unit.name for unit in coded],
        networks=[(method, unit.name) for method, unit in trained.items()],
        scale=profile.compression.network_scale,
    )


def votes_unit(profile: "Profile", coded: list[Unit], observers: str, seed: int) -> Unit:
    """Votes of simulated assessors on all versions, and the Bradley-Terry scores."""
    settings = profile.compression
    names = PHOTOGRAPHS[: len(coded)]
    return Unit.of(
        "compression",
        f"votes/{observers}/seed{seed}",
        "paperlib.experiments.world_compression:poll",
        needs=coded,
        coded=[unit.name for unit in coded],
        photographs=names,
        fingerprint=_fingerprint(*names),
        observers=observers,
        seed=seed,
        assessors=settings.assessors,
        random_pairs=settings.random_pairs,
        verification_pairs=settings.verification_pairs,
        fixations=settings.fixations_per_pair,
        noise=settings.assessor_noise,
        tie=settings.tie_threshold,
        inattentive=settings.inattentive,
    )


def agreement_unit(profile: "Profile", scored: list[Unit], judged: Unit, poll_unit: Unit, observers: str, seed: int) -> Unit:
    """SROCC, PLCC and FracCP of every method with the scores of one study."""
    settings = profile.compression
    return Unit.of(
        "compression",
        f"agreement/{observers}/seed{seed}",
        "paperlib.experiments.world_compression:agree",
        needs=[*scored, judged, poll_unit],
        scored=[unit.name for unit in scored],
        judged=judged.name,
        poll=poll_unit.name,
        observers=observers,
        seed=seed,
        bpps=settings.bpps,
        photographs=PHOTOGRAPHS[: settings.n_photographs],
        presets=[name for name, _ in settings.presets],
        n_bootstrap=settings.n_bootstrap,
    )


# ------------------------------------------------------------------------------------------------------------ coding


def code(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `coding_unit`.

    Arrays: `stream<i>`, the bit-stream of version i (bit-rates outside, presets inside); `response`
    (versions + 1, H/8, W/8), what an assessor feels at each place (`paperlib.coding.votes.foveal_response`), the last
    one for the undamaged original. Rows per version: bpp, whether it was reached, CRF, and the share of the predicted
    bits in the salient group.
    """
    photograph = _photograph(params["photograph"])
    image, settings = photograph.image, EncoderSettings(params["encoder_preset"])
    saliency = macroblock_mean(predicted_saliency(photograph))
    arrays: dict[str, np.ndarray] = {}
    damage, rows = [], []
    for bpp in params["bpps"]:
        plain = encode_at_rate(StillEncoder(image, settings=settings), bpp)
        qp = plain_qp(image, plain.search.crf, settings)
        for name, rule in params["presets"]:
            found, share = plain, math.nan
            if rule is not None:
                allocation = allocate(saliency, qp, *rule)
                found = encode_at_rate(StillEncoder(image, allocation.offsets, settings), bpp)
                share = allocation.share_after
            arrays[f"stream{len(damage)}"] = np.frombuffer(found.coded.stream, dtype=np.uint8)
            damage.append(votes.watson_damage(found.coded.picture, image))
            values = {"bpp": found.search.bpp, "reached": found.search.reached, "crf": found.search.crf, "share": share}
            variant = f"{photograph.name}@{bpp:g}"
            rows += [
                {
                    "experiment": "compression",
                    "method": name,
                    "dataset": DATASET,
                    "metric": key,
                    "variant": variant,
                    "value": float(value),
                    "n": 1,
                }
                for key, value in values.items()
            ]
    damage.append(np.zeros_like(damage[0]))
    arrays["response"] = votes.foveal_response(np.stack(damage)).astype(np.float32)
    return Result(rows=pd.DataFrame(rows), arrays=arrays)


def versions(coded: Result) -> np.ndarray:
    """The versions (n, H, W, 3) uint8 of one photograph, decoded from the result of a `coding_unit`."""
    count = sum(name.startswith("stream") for name in coded.arrays)
    return np.stack([decode(coded.arrays[f"stream{index}"].tobytes())[0] for index in range(count)])


# ------------------------------------------------------------------------------------------------------------ scores


def score(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `scores_unit`: per method an array (versions,), higher is better."""
    (coded,) = inputs.values()
    photograph = _photograph(params["photograph"])
    distorted, reference = versions(coded), photograph.image
    scores = {
        "psnr": [psnr(image, reference) for image in distorted],
        "ssim": [ssim(image, reference) for image in distorted],
    }
    maps = weight_maps(photograph, _photograph(params["shuffled_with"]))
    for suffix, name in WEIGHTINGS.items():
        scores[f"ew_psnr{suffix}"] = [ew_psnr(image, reference, maps[name]) for image in distorted]
        scores[f"ew_ssim{suffix}"] = [ew_ssim(image, reference, maps[name]) for image in distorted]
    scores |= pyiqa_scores(distorted, reference, params["pyiqa"])
    return Result(arrays={method: np.asarray(values, dtype=np.float64) for method, values in scores.items()})


def weight_maps(photograph: Photograph, other: Photograph) -> dict[str, np.ndarray]:
    """The maps (H, W) that EW metrics weigh with: predicted saliency (what the encoder was given), centre prior, the
    predicted saliency of another photograph stretched to this size, and the gaze density itself."""
    height, width = photograph.gaze.shape
    stretched = Image.fromarray(predicted_saliency(other)).resize((width, height), Image.Resampling.BILINEAR)
    return {
        "predicted": predicted_saliency(photograph),
        "center": centre_bias(height, width),
        "shuffled": np.asarray(stretched),
        "gaze": photograph.gaze,
    }


def pyiqa_scores(distorted: np.ndarray, reference: np.ndarray, names: tuple[str, ...] = PYIQA) -> dict[str, np.ndarray]:
    """MS-SSIM and weight-free pyiqa metrics, all turned so that higher is better.

    MS-SSIM is pyiqa's function on its luma in single precision: the same value to 1e-4, in a fraction of the time.

    Args:
        distorted: (n, H, W, 3) uint8.
        reference: (H, W, 3) uint8.
        names: pyiqa names of metrics that need no weights.

    Returns:
        Per method (n,) float64.
    """
    import pyiqa
    import torch
    from pyiqa.archs.func_util import preprocess_rgb
    from pyiqa.archs.ssim_arch import ms_ssim

    def tensor(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255

    truth = tensor(reference[None])
    scores: dict[str, list[float]] = {name: [] for name in ("ms_ssim", *names)}
    with torch.inference_mode():
        truth_luma = preprocess_rgb(truth, True, 255, "yiq").float()
        metrics = {name: pyiqa.create_metric(name, device="cpu") for name in names}
        for image in distorted:
            picture = tensor(image[None])
            luma = preprocess_rgb(picture, True, 255, "yiq").float()
            scores["ms_ssim"].append(float(ms_ssim(luma, truth_luma, data_range=255)))
            for name, metric in metrics.items():
                value = metric(picture, truth) if metric.metric_mode == "FR" else metric(picture)
                scores[name].append(-float(value) if metric.lower_better else float(value))
    return {name: np.array(values) for name, values in scores.items()}


def score_with_networks(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `networks_unit`: per network an array (photographs, versions), higher is better."""
    from paperlib.experiments.networks import load_network

    pictures = [downscaled(versions(inputs[name]), params["scale"]) for name in params["coded"]]
    arrays = {}
    for method, name in params["networks"]:
        network = load_network(inputs[name])
        arrays[method] = np.stack([network_scores(network, images) for images in pictures])
    return Result(arrays=arrays)


def downscaled(images: np.ndarray, scale: float) -> np.ndarray:
    """Area-downsized copies: (n, H, W, 3) uint8 to (n, scale H, scale W, 3)."""
    size = (round(images.shape[2] * scale), round(images.shape[1] * scale))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def network_scores(network: "nn.Module", images: np.ndarray) -> np.ndarray:
    """Scores (n,) float64 of uint8 images (n, h, w, 3) by a network of the micro-world."""
    from paperlib.experiments.networks import scores

    return np.asarray(scores(network, images), dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------- votes


def poll(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `votes_unit`.

    Arrays: `scores` and `standard_errors` (photographs, versions), `wins` (photographs, versions, versions). Rows: the
    share of excluded assessors and of ties, the number of votes that count, the median score of the best version.
    """
    responses = [inputs[name].arrays["response"] for name in params["coded"]]
    gaze = [block_gaze(photograph, params["observers"]) for photograph in map(_photograph, params["photographs"])]
    count, worst_version = len(responses[0]) - 1, 0
    rng = np.random.default_rng([params["seed"], OBSERVERS.index(params["observers"])])
    plan = votes.schedule(
        params["assessors"],
        len(responses),
        count,
        rng,
        params["random_pairs"],
        params["verification_pairs"],
        obvious=(count, worst_version),
    )
    model = votes.AssessorModel(
        fixations=params["fixations"], noise=params["noise"], tie=params["tie"], inattentive=params["inattentive"]
    )
    choice = votes.simulate(plan, responses, gaze, rng, model)
    kept = votes.counted(plan, choice)
    wins = votes.count_wins(plan.image[kept], plan.left[kept], plan.right[kept], choice[kept], len(responses), count)
    fitted = votes.bradley_terry(wins)
    values = {
        "excluded": 1 - votes.attentive(plan, choice).mean(),
        "ties": (choice[kept] == votes.TIE).mean(),
        "votes": kept.sum(),
        "best_score": np.median(fitted.scores.max(axis=1)),
    }
    rows = [
        {
            "experiment": "compression",
            "method": "votes",
            "dataset": DATASET,
            "metric": key,
            "variant": params["observers"],
            "seed": params["seed"],
            "value": float(value),
            "n": params["assessors"],
        }
        for key, value in values.items()
    ]
    arrays = {"scores": fitted.scores, "standard_errors": fitted.standard_errors, "wins": wins}
    return Result(rows=pd.DataFrame(rows), arrays=arrays)


def block_gaze(photograph: Photograph, observers: str) -> np.ndarray:
    """Where assessors look, per 8x8 block: (H/8, W/8), the simulated gaze or a flat map for `"uniform"`."""
    height, width = (side // votes.BLOCK for side in photograph.gaze.shape)
    if observers == "uniform":
        return np.full((height, width), 1 / (height * width))
    return photograph.gaze.reshape(height, votes.BLOCK, width, votes.BLOCK).sum(axis=(1, 3), dtype=np.float64)


# --------------------------------------------------------------------------------------------------------- agreement


def agree(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `agreement_unit`: one row per method and metric; `low` and `high` are ends of a 95 % bootstrap
    interval over photographs, `n` is their number. Then the same for single photographs, on data sets
    `photographs/<name>`."""
    truth = inputs[params["poll"]].arrays["scores"]
    presets = np.tile(np.arange(len(params["presets"])), len(params["bpps"]))
    bpps = np.repeat(np.asarray(params["bpps"]), len(params["presets"]))
    single = [inputs[name].arrays for name in params["scored"]]
    methods = {method: np.stack([arrays[method] for arrays in single]) for method in single[0]}
    methods |= inputs[params["judged"]].arrays
    methods |= {"bitrate_only": np.broadcast_to(bpps, truth.shape), "preset_order": preset_order(truth, presets)}
    found = per_image(np.stack([*methods.values()]), truth, bpps, drop_sign=True)
    values_of = dict(zip(METRICS, (found.srocc, found.plcc, found.fraccp), strict=True))
    rows = []
    for place, method in enumerate(methods):
        for metric in METRICS:
            if method == "bitrate_only" and metric == "FracCP":
                continue
            values = values_of[metric][place]
            rng = np.random.default_rng([params["seed"], OBSERVERS.index(params["observers"]), METRICS.index(metric)])
            low, high = math.nan, math.nan
            if np.isfinite(values).all():
                low, high = bootstrap_interval(values, rng, n_boot=params["n_bootstrap"])
            row = {
                "experiment": "compression",
                "method": method,
                "metric": metric,
                "variant": params["observers"],
                "seed": params["seed"],
            }
            rows.append(
                row | {"dataset": DATASET, "value": float(values.mean()), "low": low, "high": high, "n": len(values)}
            )
            rows += [
                row | {"dataset": f"{DATASET}/{name}", "value": float(value), "n": 1}
                for name, value in zip(params["photographs"], values, strict=True)
            ]
    return Result(rows=pd.DataFrame(rows))


def preset_order(truth: np.ndarray, presets: np.ndarray) -> np.ndarray:
    """A fixed order of presets as a method: each version scores the mean of its preset over the *other* images.

    Args:
        truth: (images, versions) subjective scores, at least 2 images.
        presets: (versions,) preset of each version, the same in all images.

    Returns:
        (images, versions).

    Raises:
        ValueError: fewer than two images, or lengths that differ.
    """
    if truth.ndim != 2 or len(truth) < 2 or presets.shape != truth.shape[1:]:
        raise ValueError(
            f"expected truth (images >= 2, versions) and presets (versions,), got {truth.shape} and {presets.shape}"
        )
    _, index = np.unique(presets, return_inverse=True)
    same = index[:, None] == index[None, :]
    per_image = truth @ (same / same.sum(axis=0))
    return (per_image.sum(axis=0) - per_image) / (len(truth) - 1)


# ------------------------------------------------------------------------------------------------------------- shown


def study_units(profile: "Profile") -> list[Unit]:
    """The votes of the profile's observers, one unit per repeat."""
    coded = [coding_unit(profile, index) for index in range(_count(profile.compression))]
    return [votes_unit(profile, coded, profile.observers, seed) for seed in profile.seeds]


def preset_means(studies: Iterable[Result], profile: "Profile") -> pd.DataFrame:
    """Mean subjective score over photographs and repeats: one row per preset, one column per bit-rate."""
    settings = profile.compression
    scores = np.mean([study.arrays["scores"].mean(axis=0) for study in studies], axis=0)
    grid = scores.reshape(len(settings.bpps), len(settings.presets)).T
    return pd.DataFrame(grid, [name for name, _ in settings.presets], [f"{bpp:g} bpp" for bpp in settings.bpps])


def single_photographs(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of single photographs under the first kind of observers, the photograph's name as `variant`."""
    found = rows[rows["dataset"].str.startswith(f"{DATASET}/")]
    found = found[found["variant"] == found["variant"].iloc[0]]
    return found.assign(variant=found["dataset"].str.removeprefix(f"{DATASET}/"))


def claim_parts(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """C4. Gains in FracCP of the eye-tracking weighted metrics over the plain ones, per seed; and the controls:
    assessors who look everywhere alike, and weights that know nothing of the photograph."""
    chosen = rows[(rows["metric"] == "FracCP") & (rows["dataset"] == DATASET)]
    kinds = list(dict.fromkeys(chosen["variant"]))

    def gain(kind: str, weighted: str, plain: str) -> pd.Series:
        table = chosen[chosen["variant"] == kind].pivot(index="seed", columns="method", values="value")
        return table[weighted] - table[plain]

    parts = {}
    for plain in ("psnr", "ssim"):
        name = paper.look(plain).label
        parts[f"FracCP: EW-{name} − {name}"] = gain(kinds[0], f"ew_{plain}", plain)
        for kind in kinds[1:]:
            parts[f"control, {kind} observers, FracCP: EW-{name} − {name}"] = gain(kind, f"ew_{plain}", plain)
        for weights in ("center", "shuffled"):
            label = f"control, {'centre prior' if weights == 'center' else 'shuffled map'}, FracCP: EW-{name} − {name}"
            parts[label] = gain(kinds[0], f"ew_{plain}_{weights}", plain)
    return parts


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table III from the rows of `units`, with the paper's numbers beside ours and the control study's FracCP."""
    kinds = _kinds(profile)
    keys = ["variant", "method", "metric"]
    grouped = rows[rows["metric"].isin(METRICS) & (rows["dataset"] == DATASET)].groupby(keys, sort=False)
    found = grouped.agg(
        value=("value", "mean"), sd=("value", "std"), low=("low", "mean"), high=("high", "mean"), n=("n", "first")
    )
    blank = {"value": math.nan, "sd": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    columns = _columns(kinds)
    cells = []
    for section, methods in _all_rows().items():
        for method in methods:
            for column in columns:
                kind = kinds[0] if column.dataset == DATASET else kinds[1]
                key = (kind, method, column.metric)
                published = paper.published(3, method, "sacid", column.metric) if column.dataset == DATASET else None
                cells.append({
                    "section": section, "method": method, "dataset": column.dataset, "metric": column.metric,
                    **(found.loc[key].to_dict() if key in found.index else blank),
                    "published": math.nan if published is None else published, "ranked": section != "Control",
                })  # fmt: skip
    frame = pd.DataFrame(cells).astype({"n": int})
    title = "Table III: agreement on non-uniformly coded images"
    return TableData("table3", title, _caption(profile), columns, frame, NOTES)


def _columns(kinds: list[str]) -> tuple[Column, ...]:
    own = tuple(Column(DATASET, metric, +1, f"{metric} ↑") for metric in METRICS)
    return own + tuple(Column(f"{DATASET}_{kind}", "FracCP", +1, f"FracCP, {kind} observers ↑") for kind in kinds[1:])


def _all_rows() -> dict[str, tuple[str, ...]]:
    """The sections in the paper's order, our rows first, then the paper's rows that this profile does not run."""
    rows: dict[str, tuple[str, ...]] = {line.section: ROWS.get(line.section, ()) for line in paper.TABLE3} | ROWS
    for line in paper.TABLE3:
        if line.method not in rows[line.section]:
            rows[line.section] = (*rows[line.section], line.method)
    return rows


def _caption(profile: "Profile") -> str:
    settings = profile.compression
    rates = ", ".join(f"{bpp:g}" for bpp in settings.bpps)
    return (
        f"Ours: {settings.n_photographs} photographs, {len(settings.presets)} presets, {rates} bpp, scores from votes "
        f"of simulated assessors ({profile.observers} observers), {len(profile.seeds)} repeats of the votes and "
        "networks, mean ± sd over repeats, in brackets 95 % bootstrap interval over photographs. Paper: SACID, 60 "
        "photographs, .08, .12 and .16 bpp, people. The two are different studies: compare the order of the rows, not "
        "the values."
    )


NOTES = (
    "Bit-rates are higher than the paper's because these photographs are a tenth of the size: with the coarsest "
    "quantiser the strongest preset still takes up to .18 bpp, so the paper's are out of reach. Their ratios are kept.",
    "SROCC and PLCC over the 12 versions of a photograph, absolute value, mean over photographs. FracCP over the pairs "
    "of presets at one photograph and bit-rate; chance is .5. Bit-rate alone cannot order such a pair: no FracCP.",
    "EW metrics weigh with the map that steered the encoder, as in the paper; the control rows weigh with a centre "
    "prior, with another photograph's map, and with the true gaze: the density that the assessors' fixations come from.",
    "Controls take no part in the ranking.",
)
