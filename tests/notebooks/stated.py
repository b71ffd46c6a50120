"""Sentences of the notebooks' prose that hold a number or a comparison and are not generated: the beginning of each -> what
makes it true. A function is evaluated by test_sentences: it asks the library, the published tables or the data.
`by_definition` is for comparisons without numbers that say what a word means, how to read a picture, or what to do.

What results show does not belong here: notebooks say it with `paperlib.show.sentences`, which follows the numbers."""

from collections.abc import Callable

from paperlib import paper
from paperlib.datasets import microworld
from paperlib.experiments import statistics
from paperlib.experiments.broken_world import damage
from paperlib.experiments.dual_task import results as dual_task
from paperlib.show import notebooks

By = Callable[[], bool] | str
by_definition = "by definition"

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
    "03a_extracting_saliency": {},
    "03b_saliency_masking": {},
    "03c_dual_task_training": {},
    "03d_nonuniform_compression": {},
    "04_discussion": {
        "These lines are the whole rule": by_definition,
        "How much hangs on a threshold?** CLAIM asks for a gain in CC of a tenth": lambda: dual_task.CC_GAIN == 0.1,
        "The claim that the controls leave.** The strongest form of CLAIM": by_definition,
    },
}
