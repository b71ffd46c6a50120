"""Coded photographs looked into: their versions, where bits went, what assessors said, and the coding explorer of notebook
03d. They are the photographs that ship inside dependencies, in every profile: sets in files bring no bit-streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paperlib.datasets.photographs import Photograph, predicted_saliency
from paperlib.engine.units import Result
from paperlib.experiments.compression.coded_photographs import decoded, photographs_named
from paperlib.experiments.compression.plan import coded_here
from paperlib.experiments.running import compute
from paperlib.metrics.weighted import ew_psnr, psnr

if TYPE_CHECKING:
    from paperlib.profiles import Profile

PLAIN = "none"
"""The preset without saliency, which the others are compared with."""


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
