"""One photograph, coded in one way, and where its bits and errors went: what the coding explorer of notebook 03d shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paperlib import experiments
from paperlib.coding.x264 import decode
from paperlib.datasets.photographs import PHOTOGRAPHS, Photograph, open_photographs, predicted_saliency
from paperlib.engine.units import Result, Unit
from paperlib.experiments import world_compression
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
        coded: result of the coding unit of each photograph, see `paperlib.experiments.world_compression.code`.
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
class Coded:
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
    plain: Coded
    chosen: Coded


def material(profile: "Profile") -> Material:
    """The coded photographs of `profile` and the votes of its first repeat."""
    settings, units = profile.compression, _coding_units(profile)
    study = world_compression.study_units(profile)[0]
    results = experiments.compute([*units, study], profile, "coding")
    return Material(
        open_photographs(PHOTOGRAPHS[: settings.n_photographs]),
        [results[unit.name] for unit in units],
        results[study.name].arrays["scores"],
        settings.bpps,
        tuple(name for name, _ in settings.presets),
    )


def spent(profile: "Profile") -> pd.DataFrame:
    """Bits per pixel (`bpp`) and share of the predicted bits in the salient part (`share`), by preset and asked bit-rate:
    means over the photographs."""
    results = experiments.compute(_coding_units(profile), profile, "coding")
    rows = pd.concat([result.rows for result in results.values()])
    chosen = rows[rows["metric"].isin(["bpp", "share"])]
    asked = chosen["variant"].str.split("@").str[1].rename("asked bpp")
    means = chosen.groupby([chosen["method"], asked, "metric"], sort=False)["value"].mean()
    return means.unstack(["metric", "asked bpp"])


def _coding_units(profile: "Profile") -> list[Unit]:
    return [world_compression.coding_unit(profile, index) for index in range(profile.compression.n_photographs)]


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


def _coded(material: Material, choice: CodingChoice, preset: str, saliency: np.ndarray) -> Coded:
    place = material.bpps.index(choice.bpp) * len(material.presets) + material.presets.index(preset)
    result, original = material.coded[choice.image], material.photographs[choice.image].image
    picture, qp = _decoded(result.arrays[f"stream{place}"].tobytes())
    measures = {
        "bpp": _bpp(result.rows, choice.bpp, preset),
        "PSNR": psnr(picture, original),
        "EW-PSNR": ew_psnr(picture, original, saliency),
        "score": float(material.scores[choice.image, place]),
    }
    return Coded(picture, qp, np.abs(picture.astype(float) - original).mean(2), measures)


@cache
def _decoded(stream: bytes) -> tuple[np.ndarray, np.ndarray]:
    return decode(stream)


def _bpp(rows: pd.DataFrame, asked: float, preset: str) -> float:
    of_version = rows["variant"].str.endswith(f"@{asked:g}") & (rows["method"] == preset) & (rows["metric"] == "bpp")
    return float(rows.loc[of_version, "value"].iloc[0])
