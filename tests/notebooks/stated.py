"""Sentences of the notebooks' prose that hold a number or a comparison and are not generated: the beginning of each -> what
makes it true. A function is evaluated by test_sentences: it asks the library, the published tables or the data.
`by_definition` is for comparisons without numbers that say what a word means, how to read a picture, or what to do.

What results show does not belong here: notebooks say it with `paperlib.show.sentences`, which follows the numbers."""

from collections.abc import Callable
from inspect import signature

from paperlib.datasets import microworld
from paperlib.experiments import statistics

By = Callable[[], bool] | str
by_definition = "by definition"

STATED: dict[str, dict[str, By]] = {
    "00_start_here": {},
    "01_introduction": {},
    "02_related_work": {},
    "03a_extracting_saliency": {
        "The backbone was pretrained to name the subject of a picture, and 80 % of the gaze": lambda: (
            round(microworld.SUBJECT_OF_REST * (1 - signature(microworld.generate).parameters["center_bias"].default), 9)
            == 0.8
        ),
        "CLAIM: the map of the IQA network beats the centre prior in CC and KLD": by_definition,
        "It holds when the mean and its whole 95 % interval": lambda: statistics.CONFIDENCE == 0.95,
    },
    "03b_saliency_masking": {},
    "03c_dual_task_training": {},
    "03d_nonuniform_compression": {},
    "04_discussion": {},
}
