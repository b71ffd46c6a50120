"""Sentences of the notebooks' prose that hold a number or a comparison and are not generated: the beginning of each -> what
makes it true. A function is evaluated by test_sentences: it asks the library, the published tables or the data.
`by_definition` is for comparisons without numbers that say what a word means, how to read a picture, or what to do.

What results show does not belong here: notebooks say it with `paperlib.show.sentences`, which follows the numbers."""

from collections.abc import Callable

import pandas as pd

from paperlib.experiments import claims
from paperlib.maps import masking

By = Callable[[], bool] | str
by_definition = "by definition"


def claim_part(low: float) -> claims.Part:
    """A quantity of a claim, its mean .1, whose interval begins at `low`."""
    return claims.Part("", pd.Series([0.1]), low, 0.2, 3, "repeats")


STATED: dict[str, dict[str, By]] = {
    "00_start_here": {},
    "01_introduction": {},
    "02_related_work": {},
    "03a_extracting_saliency": {},
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
    "03c_dual_task_training": {},
    "03d_nonuniform_compression": {},
    "04_discussion": {},
}
