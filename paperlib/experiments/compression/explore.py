"""What the explorers of notebook 03d show: Table III as it is printed, read again by metric, group and what 60 photographs
can tell apart; and coded photographs looked into: their versions, where bits went, what assessors said. The photographs are
those that ship inside dependencies, in every profile: sets in files bring no bit-streams."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paperlib import paper
from paperlib.datasets.photographs import Photograph, predicted_saliency
from paperlib.engine.units import Result
from paperlib.experiments.compression.coded_photographs import decoded, photographs_named
from paperlib.experiments.compression.compute import METRICS
from paperlib.experiments.compression.plan import SACID, WEIGHTED, coded_here, weighted_key
from paperlib.experiments.compression.results import REFERENCES, per_photograph, subjects
from paperlib.experiments.compression.scoring import CENTER, GAZE, OWN, SHUFFLED, UNIFORM
from paperlib.experiments.running import compute
from paperlib.metrics.agreement import summarise
from paperlib.metrics.resampling import bootstrap_mean
from paperlib.metrics.weighted import ew_psnr, psnr

if TYPE_CHECKING:
    from paperlib.profiles import Profile

PLAIN = "none"
"""The preset without saliency, which the others are compared with."""

SACID_PRESET_MEANS: Mapping[float, Mapping[str, float]] = {
    0.08: {"none": 0.494, "p132": 1.160, "p220": 1.185, "p310": 0.738},
    0.12: {"none": 2.438, "p132": 2.991, "p220": 3.073, "p310": 2.611},
    0.16: {"none": 3.510, "p132": 4.122, "p220": 4.114, "p310": 3.709},
}
"""Bits per pixel -> preset -> mean of people's scores over the 60 photographs of SACID. Source: moses.csv of Alexkkir/SACID,
by tests/golden/test_real_sacid.py."""

EVERYTHING, BEST, BLIND = "all", "best", "blind"
"""Choices of the table's explorer: methods of every type; compared with the best of those shown, or with the method that
sees no picture."""
TABLE_SECTIONS = (EVERYTHING, *dict.fromkeys(row.section for row in paper.TABLE3))
VERSIONS, PAIRS = 12, 18
"""Of a photograph in SACID: coded versions; pairs of presets at one bit-rate, six at each of three."""
NORMAL = 1.96
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True)
class CodingChoice:
    """One state of the explorer: number of the photograph, asked bit-rate, preset."""

    image: int
    bpp: float
    preset: str


@dataclass(frozen=True)
class Material:
    """What there is to explore.

    Attributes:
        photographs: the originals.
        coded: result of the coding unit of each photograph, see `paperlib.experiments.compression.coding.code`.
        scores: (photographs, versions) subjective scores of the first study.
        bpps, presets: of the versions; bit-rates outside, presets inside.
    """

    photographs: Sequence[Photograph]
    coded: Sequence[Result]
    scores: np.ndarray
    bpps: tuple[float, ...]
    presets: tuple[str, ...]

    @property
    def standard(self) -> CodingChoice:
        """The first state: the strongest preset at the lowest bit-rate, where the difference is easiest to see."""
        return CodingChoice(0, min(self.bpps), self.presets[-1])


@dataclass(frozen=True)
class CodedVersion:
    """One version of a photograph.

    Attributes:
        picture: (h, w, 3) uint8, decoded.
        qp: (h/16, w/16) quantiser of every macroblock, read back from the stream.
        error: (h, w) mean absolute difference to the original over channels, 0 to 255.
        measures: bits per pixel, PSNR and EW-PSNR in dB, and the subjective score, by their names.
    """

    picture: np.ndarray
    qp: np.ndarray
    error: np.ndarray
    measures: Mapping[str, float]


@dataclass(frozen=True)
class View:
    """What the explorer shows of a choice: original, the map that the encoder was given, plain version and chosen one."""

    choice: CodingChoice
    photograph: Photograph
    saliency: np.ndarray
    plain: CodedVersion
    chosen: CodedVersion


@dataclass(frozen=True)
class Published:
    """Table III of the paper, and what SACID's scores say of methods that see no picture.

    Attributes:
        values: the printed numbers; index: methods; columns `label`, `section`, and one per metric.
        measured: the same columns for methods that were measured here on SACID's pictures; empty without these.
        blind: metric -> mean of the method without pictures, `REFERENCES`.
        interval: metric -> its 95 % bootstrap interval (low, high) over photographs.
        spread: metric -> see `spread_over_photographs`.
        photographs: that these rest on.
    """

    values: pd.DataFrame
    measured: pd.DataFrame
    blind: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    spread: Mapping[str, float]
    photographs: int

    def interval_of(self, value: float, metric: str) -> tuple[float, float]:
        """95 % interval of a printed value, with the spread that every method is taken to have."""
        return interval(value, metric, self.spread[metric] / sqrt(self.photographs))

    def tells_apart(self, one: str, other: str, metric: str) -> bool:
        """Whether two methods lie further apart in a metric than `not_told_apart` allows."""
        values = self.values[metric]
        return told_apart(values[one], values[other], metric, self.spread[metric], self.photographs)


@dataclass(frozen=True)
class TableChoice:
    """One state of the table's explorer: which type of methods (of `TABLE_SECTIONS`), by which metric, compared with which
    method (or `BEST`, `BLIND`), and how many photographs had been judged."""

    section: str = EVERYTHING
    metric: str = "FracCP"
    reference: str = BEST
    photographs: int = 60


@dataclass(frozen=True)
class Standing:
    """What the table's explorer shows of a choice.

    Attributes:
        ranking: the methods, best first; columns `label`, `section`, one per metric, `apart` (from the reference), and
            `rank <metric>` among those shown, 1 is the best.
        reference: name of what they are compared with; `value`: its value.
        band: values (low, high) that cannot be told apart from it.
        blind: value of the method without pictures.
        pairs, pairs_apart: of the methods shown, and how many of them can be told apart.
    """

    choice: TableChoice
    ranking: pd.DataFrame
    reference: str
    value: float
    band: tuple[float, float]
    blind: float
    pairs: int
    pairs_apart: int


def published(rows: pd.DataFrame) -> Published:
    """Table III of the paper beside the rows of a profile that holds SACID's scores."""
    per_metric = {metric: per_photograph(rows, metric) for metric in METRICS}
    blind = {metric: per_metric[metric].loc[REFERENCES[metric]].dropna().to_numpy() for metric in METRICS}
    printed = [{"method": row.method, "label": row.label, "section": row.section, **_printed(row)} for row in paper.TABLE3]
    seen = subjects(per_metric["SROCC"].index)
    means = {metric: table.reindex(seen).mean(axis=1) for metric, table in per_metric.items()}
    labels = {"label": [paper.look(one).label for one in seen], "section": [paper.look(one).group for one in seen]}
    return Published(
        values=pd.DataFrame(printed).set_index("method"),
        measured=pd.DataFrame({**labels, **means}, index=seen),
        blind={metric: float(values.mean()) for metric, values in blind.items()},
        interval={metric: bootstrap_mean(values) for metric, values in blind.items()},
        spread={metric: spread_over_photographs(values, metric) for metric, values in blind.items()},
        photographs=len(blind["FracCP"]),
    )


def _printed(row: paper.PublishedRow) -> dict[str, float]:
    return {metric: row.values[SACID, metric] for metric in METRICS}


def spread_over_photographs(values: np.ndarray, metric: str) -> float:
    """Standard deviation over photographs that every method is taken to have, of FracCP or of Fisher's z of a correlation.

    The paper prints means alone. So the larger of two is taken: the deviation of the method that sees no picture, whose
    values (n,) are known for each photograph, and the one that the textbook gives to n independent items: 1 / sqrt(n - 3)
    for z of 12 versions, 0.5 / sqrt(n) for the share of 18 pairs.
    """
    if metric == "FracCP":
        return max(float(values.std(ddof=1)), 0.5 / sqrt(PAIRS))
    return max(float(np.arctanh(values).std(ddof=1)), 1 / sqrt(VERSIONS - 3))


def interval(value: float, metric: str, error: float) -> tuple[float, float]:
    """95 % interval (low, high) about a mean FracCP, or about a mean correlation in Fisher's z, with so large a standard
    error."""
    if metric == "FracCP":
        return value - NORMAL * error, value + NORMAL * error
    low, high = np.tanh(np.arctanh(value) + NORMAL * np.array([-error, error]))
    return float(low), float(high)


def not_told_apart(value: float, metric: str, spread: float, photographs: int) -> tuple[float, float]:
    """The values (low, high) that a second method may have without being told apart from one with `value`: the 95 % interval
    of a difference of two means over so many photographs. No credit is given for both methods having seen the same ones."""
    return interval(value, metric, sqrt(2) * spread / sqrt(photographs))


def told_apart(one: float, other: float, metric: str, spread: float, photographs: int) -> bool:
    """Whether two values lie further apart than `not_told_apart` allows."""
    low, high = not_told_apart(one, metric, spread, photographs)
    return not low <= other <= high


def standing(table: Published, choice: TableChoice) -> Standing:
    """The methods of a type ranked by a metric, and which of them can be told apart from the reference.

    Raises:
        ValueError: no such type, metric or reference, or fewer than two photographs.
    """
    metric, spread = choice.metric, table.spread.get(choice.metric, 0.0)
    known: dict[str, Iterable[str]] = {
        "section": TABLE_SECTIONS,
        "metric": METRICS,
        "reference": (BEST, BLIND, *table.values.index),
    }
    for name, values in known.items():
        if getattr(choice, name) not in values:
            raise ValueError(f"{name}={getattr(choice, name)!r}; expected one of: {', '.join(values)}")
    if choice.photographs < 2:
        raise ValueError(f"photographs={choice.photographs}; expected at least 2")
    chosen = table.values[(choice.section == EVERYTHING) | (table.values["section"] == choice.section)]
    ranks = chosen[list(METRICS)].rank(ascending=False, method="min").astype(int).add_prefix("rank ")
    ranking = chosen.join(ranks).sort_values(metric, ascending=False, kind="stable")
    if choice.reference == BLIND:
        reference, value = paper.look(REFERENCES[metric]).label, table.blind[metric]
    else:
        method = ranking.index[0] if choice.reference == BEST else choice.reference
        reference, value = table.values.loc[method, "label"], float(table.values.loc[method, metric])
    pairs = list(combinations(ranking[metric], 2))
    return Standing(
        choice,
        ranking.assign(apart=[told_apart(value, one, metric, spread, choice.photographs) for one in ranking[metric]]),
        reference,
        value,
        not_told_apart(value, metric, spread, choice.photographs),
        table.blind[metric],
        len(pairs),
        sum(told_apart(*pair, metric, spread, choice.photographs) for pair in pairs),
    )


_PLAIN_METRIC = "plain"
WEIGHTS = {
    _PLAIN_METRIC: "no weights",
    UNIFORM: "even weights",
    SHUFFLED: "another photograph's map",
    CENTER: "centre prior",
    GAZE: "true gaze density",
    OWN: "the encoder's map",
}
"""What an EW metric weighs with, the less it knows the earlier."""


def weights_worth(rows: pd.DataFrame) -> pd.DataFrame:
    """FracCP of PSNR and SSIM with every kind of weights, by kind of observers.

    Returns:
        Columns `observers` (the data set), `judge` (`"PSNR"` or `"SSIM"`), `weights` (of `WEIGHTS`), `method`, and `value`,
        `low`, `high`: mean over photographs with its 95 % bootstrap interval; without what was not computed.
    """
    found = []
    for observers in dict.fromkeys(rows.loc[rows["metric"] == "FracCP", "dataset"]):
        values = per_photograph(rows[rows["dataset"] == observers], "FracCP")
        told = {one["name"]: one for one in summarise(list(values.index), values.to_numpy())}
        for judge in WEIGHTED:
            plain = judge.removeprefix("ew_")
            for kind, weights in WEIGHTS.items():
                method = {_PLAIN_METRIC: plain, OWN: judge}.get(kind) or weighted_key(judge, kind)
                if method in told:
                    numbers = {name: told[method][name] for name in ("value", "low", "high")}
                    common = {"observers": observers, "judge": paper.look(plain).label, "weights": weights}
                    found.append({**common, "method": method, **numbers})
    return pd.DataFrame(found, columns=["observers", "judge", "weights", "method", "value", "low", "high"])


def sacid_preset_means() -> pd.DataFrame:
    """`SACID_PRESET_MEANS` as `preset_means` gives those of a study: one row per preset, one column per bit-rate."""
    return pd.DataFrame({f"{bpp:g} bpp": means for bpp, means in SACID_PRESET_MEANS.items()})


def material(profile: "Profile") -> Material:
    """The coded photographs and the votes of the first repeat."""
    coded, settings = coded_here(profile), profile.compression
    votes, *_ = (poll.unit for poll in coded.polls if poll.unit)
    results = compute([*(unit for _, unit in coded.coding), votes], profile, "coding")
    return Material(
        photographs_named(coded.sequences),
        [results[unit.name] for _, unit in coded.coding],
        results[votes.name].arrays["scores"],
        settings.bpps,
        tuple(name for name, _ in settings.presets),
    )


def first_versions(profile: "Profile", n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first photograph (h, w, 3) and its first `n` versions (n, h, w, 3), those of the lowest bit-rate first."""
    name, unit = coded_here(profile).coding[0]
    arrays = compute([unit], profile, "coding")[unit.name].arrays
    versions = [decoded(arrays[f"stream{index}"].tobytes())[0] for index in range(n)]
    return photographs_named([name])[0].image, np.stack(versions)


def polled(profile: "Profile") -> list[np.ndarray]:
    """Subjective scores (photographs, versions) of the profile's observers, of each repeat."""
    coded = coded_here(profile)
    units = [poll.unit for poll in coded.polls if poll.unit and poll.told_as == coded.name]
    results = compute(units, profile, "votes")
    return [results[unit.name].arrays["scores"] for unit in units]


def preset_means(profile: "Profile") -> pd.DataFrame:
    """Mean subjective score over photographs and repeats: one row per preset, one column per bit-rate."""
    settings = profile.compression
    scores = np.mean([one.mean(axis=0) for one in polled(profile)], axis=0)
    grid = scores.reshape(len(settings.bpps), len(settings.presets)).T
    return pd.DataFrame(grid, [name for name, _ in settings.presets], [f"{bpp:g} bpp" for bpp in settings.bpps])


def spent(profile: "Profile") -> pd.DataFrame:
    """Bits per pixel (`bpp`) and share of the predicted bits in the salient part (`share`), by preset and asked bit-rate:
    means over the photographs."""
    units = [unit for _, unit in coded_here(profile).coding]
    results = compute(units, profile, "coding")
    rows = pd.concat([result.rows for result in results.values()])
    chosen = rows[rows["metric"].isin(["bpp", "share"])]
    asked = chosen["variant"].str.split("@").str[1].rename("asked bpp")
    means = chosen.groupby([chosen["method"], asked, "metric"], sort=False)["value"].mean()
    return means.unstack(["metric", "asked bpp"])


def explore(material: Material, choice: CodingChoice) -> View:
    """The chosen version beside the plain one at the same bit-rate.

    Raises:
        ValueError: no such photograph, bit-rate or preset.
    """
    known = {"image": range(len(material.photographs)), "bpp": material.bpps, "preset": material.presets}
    for name, values in known.items():
        if getattr(choice, name) not in values:
            raise ValueError(f"{name}={getattr(choice, name)!r}; expected one of: {', '.join(map(str, values))}")
    photograph = material.photographs[choice.image]
    saliency = predicted_saliency(photograph)
    plain, chosen = (_coded(material, choice, preset, saliency) for preset in (PLAIN, choice.preset))
    return View(choice, photograph, saliency, plain, chosen)


def _coded(material: Material, choice: CodingChoice, preset: str, saliency: np.ndarray) -> CodedVersion:
    place = material.bpps.index(choice.bpp) * len(material.presets) + material.presets.index(preset)
    result, original = material.coded[choice.image], material.photographs[choice.image].image
    picture, qp = decoded(result.arrays[f"stream{place}"].tobytes())
    measures = {
        "bpp": _bpp(result.rows, choice.bpp, preset),
        "PSNR": psnr(picture, original),
        "EW-PSNR": ew_psnr(picture, original, saliency),
        "score": float(material.scores[choice.image, place]),
    }
    return CodedVersion(picture, qp, np.abs(picture.astype(float) - original).mean(2), measures)


def _bpp(rows: pd.DataFrame, asked: float, preset: str) -> float:
    of_version = rows["variant"].str.endswith(f"@{asked:g}") & (rows["method"] == preset) & (rows["metric"] == "bpp")
    return float(rows.loc[of_version, "value"].iloc[0])
