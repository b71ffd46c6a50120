"""Sentences of the notebooks' prose that hold a number or a comparison and are not generated: the beginning of each -> what
makes it true. A function is evaluated by test_sentences: it asks the library, the published tables or the data.
`by_definition` is for comparisons without numbers that say what a word means, how to read a picture, or what to do.

What results show does not belong here: notebooks say it with `paperlib.show.sentences`, which follows the numbers."""

import inspect
import re
from collections.abc import Callable
from inspect import signature

import numpy as np
import pandas as pd
from scipy.stats import t

from paperlib import paper, profiles
from paperlib.coding import votes
from paperlib.datasets import microworld
from paperlib.experiments import claims, statistics
from paperlib.experiments.broken_world import damage
from paperlib.experiments.compression import explore as compression
from paperlib.experiments.dual_task import film
from paperlib.experiments.dual_task import results as dual_task
from paperlib.maps import masking
from paperlib.metrics import equivalence
from paperlib.show import notebooks

By = Callable[[], bool] | str
by_definition = "by definition"


def _default(function: Callable, parameter: str) -> object:
    return inspect.signature(function).parameters[parameter].default


def _outcome(mean: float, low: float) -> str:
    return claims.Part("", pd.Series([mean]), low, 2 * mean - low, 3, "repeats", needed=0.0).outcome


def _wins_of_a_tie() -> np.ndarray:
    """Wins (2, 2) of two versions of one picture after a single vote, a tie."""
    image, left, right, choice = (np.array([one]) for one in (0, 0, 1, votes.TIE))
    return votes.count_wins(image, left, right, choice, images=1, versions=2)[0]


def claim_part(low: float) -> claims.Part:
    """A quantity of a claim, its mean .1, whose interval begins at `low`."""
    return claims.Part("", pd.Series([0.1]), low, 0.2, 3, "repeats")


STATED: dict[str, dict[str, By]] = {
    "00_start_here": {
        "This is the runnable companion to": lambda: "2405.04997" in paper.CITATION,
        "The reading times are reckoned alike everywhere": lambda: (
            (200, 3, 20)
            == (notebooks._WORDS_A_MINUTE, notebooks._SECONDS_A_CODE_LINE, notebooks._SECONDS_A_PICTURE_OR_TABLE)
        ),
        "Their mean opinion score (MOS) is pooled from the damage": lambda: (
            (15, 6) == (microworld.OBSERVERS_PER_IMAGE, microworld.FIXATIONS_PER_OBSERVER)
        ),
        "with FORMULA the damage at a place, from 0 to 1": lambda: (
            damage(microworld.generate(125, seed=42)).min() == 0 and damage(microworld.generate(125, seed=42)).max() == 1
        ),
        "See how nearly this goes in a circle": by_definition,
        "yes* or *no* where the 95 % interval over the pictures says so": lambda: statistics.CONFIDENCE == 0.95,
    },
    "01_introduction": {"How to read it.** The last row says which places speak for a higher score": by_definition},
    "02_related_work": {},
    "03a_extracting_saliency": {
        "The backbone was pretrained to name the subject of a picture, and 80 % of the gaze": lambda: (
            round(microworld.SUBJECT_OF_REST * (1 - signature(microworld.generate).parameters["center_bias"].default), 9)
            == 0.8
        ),
        "CLAIM: the map of the IQA network beats the centre prior in CC and KLD": by_definition,
        "It holds when the mean and its whole 95 % interval": lambda: statistics.CONFIDENCE == 0.95,
    },
    "03b_saliency_masking": {
        "If a map shows what matters for a quality network, hiding the *important* pixels": by_definition,
        "LeRF** (least relevant first) masks the lowest ranks": by_definition,
        "MoRF** (most relevant first) masks the highest": by_definition,
        "Below, half of each picture is masked by": by_definition,
        "On some pictures all halves were tried, to count": by_definition,
        "LeRF lies above MoRF for saliency and for GradCAM": by_definition,
        "A quantity holds when its mean and its whole interval lie above zero": lambda: (
            [claim_part(low).outcome for low in (0.01, -0.01)] == [claims.HOLDS, claims.UNDECIDED]
        ),
        "On the photographs the interval at the worst fraction is rather too wide": by_definition,
        "Things to try: the same mask under all fills": by_definition,
        "The paper gives no number for the small sigma of the blur; ours is 2 pixels": lambda: masking.SIGMA == 2,
    },
    "03c_dual_task_training": {
        "Each row shows one network's maps of a test picture; under them": lambda: film.N_MEASURED == 100,
        "TOST, paired by repeat, turns the burden round": lambda: (
            (equivalence.MARGIN, _default(equivalence.tost, "alpha")) == (0.01, 0.05)
        ),
        "CLAIM, with margins of ours, since the paper's words give none": lambda: (
            (dual_task.SROCC_MARGIN, dual_task.CC_GAIN) == (0.02, 0.1) and not re.search(r"\d", paper.CLAIMS["C3"].text)
        ),
        "A quantity holds when its whole 95 % interval": lambda: (
            [_outcome(mean=1.0, low=low) for low in (0.5, -0.5)] == [claims.HOLDS, claims.UNDECIDED]
            and round(statistics.interval([0.0, 1.0])[2], 3) == round(0.5 + 0.5 * t.ppf(0.975, 1), 3)
        ),
    },
    "03d_nonuniform_compression": {
        "The assumption is in FORMULA": lambda: (
            (compression.VERSIONS, compression.PAIRS) == (12, 18)
            and np.isclose(compression.spread_over_photographs(np.array([0.5, 0.5]), "SROCC"), 1 / np.sqrt(12 - 3))
            and np.isclose(compression.spread_over_photographs(np.array([0.5, 0.5]), "FracCP"), 0.5 / np.sqrt(18))
            and compression.spread_over_photographs(np.array([0.0, 1.0]), "FracCP") == np.std([0, 1], ddof=1)
        ),
        "A setting FORMULA means": by_definition,
        "with one slope FORMULA above": by_definition,
        "Here is the first photograph at the lowest bit-rate": by_definition,
        "Each assessor sees 3": lambda: (
            (one := profiles.load("demo").compression).verification_pairs == 3 and one.random_pairs == 25
        ),
        "Bradley-Terry turns votes into scores": by_definition,
        "a tie counts as half a win": lambda: (
            (_wins_of_a_tie() == [[0, 0.5], [0.5, 0]]).all()
            and votes.bradley_terry(np.array([[[0.0, 3], [1, 0]]])).scores.min() == 0
        ),
        "EW-PSNR beats PSNR and EW-SSIM beats SSIM in FracCP": by_definition,
        "A part holds when its mean": by_definition,
        "Try the highest bit-rate": by_definition,
        "These are coded at .2, .3 and .4 bpp": lambda: (
            (ours := profiles.load("demo").compression.bpps) == (0.2, 0.3, 0.4)
            and np.allclose(np.divide(ours, tuple(compression.SACID_PRESET_MEANS)), 2.5)
        ),
        "Bradley-Terry by hand.** Version A beats": by_definition,
        "The best that any metric can do": by_definition,
        'Take the scores of one repeat as a "metric"': by_definition,
        "How strong are the presets": by_definition,
    },
    "04_discussion": {
        "These lines are the whole rule": by_definition,
        "How much hangs on a threshold?** CLAIM asks for a gain in CC of a tenth": lambda: dual_task.CC_GAIN == 0.1,
        "The claim that the controls leave.** The strongest form of CLAIM": by_definition,
    },
}
