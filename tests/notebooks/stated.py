"""Sentences of the notebooks' prose that hold a number or a comparison and are not generated: the beginning of each -> what
makes it true. A function is evaluated by test_sentences: it asks the library, the published tables or the data.
`by_definition` is for comparisons without numbers that say what a word means, how to read a picture, or what to do.

What results show does not belong here: notebooks say it with `paperlib.show.sentences`, which follows the numbers."""

import inspect
import re
from collections.abc import Callable

import pandas as pd
from scipy.stats import t

from paperlib import paper
from paperlib.experiments import claims, statistics
from paperlib.experiments.dual_task import film
from paperlib.experiments.dual_task import results as dual_task
from paperlib.metrics import equivalence

By = Callable[[], bool] | str
by_definition = "by definition"


def _default(function: Callable, parameter: str) -> object:
    return inspect.signature(function).parameters[parameter].default


def _outcome(mean: float, low: float) -> str:
    return claims.Part("", pd.Series([mean]), low, 2 * mean - low, 3, "repeats", needed=0.0).outcome


STATED: dict[str, dict[str, By]] = {
    "00_start_here": {},
    "01_introduction": {},
    "02_related_work": {},
    "03a_extracting_saliency": {},
    "03b_saliency_masking": {},
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
    "03d_nonuniform_compression": {},
    "04_discussion": {},
}
