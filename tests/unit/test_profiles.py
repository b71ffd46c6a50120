"""Profiles: one flat name per value, and clear refusals."""

from dataclasses import fields, is_dataclass

import pytest

from paperlib import profiles
from paperlib.errors import PaperlibError


def test_field_names_are_unique_over_all_parts():
    profile = profiles.PROFILES["demo"]
    flat = [entry.name for entry in fields(profile) if not is_dataclass(getattr(profile, entry.name))]
    for entry in fields(profile):
        part = getattr(profile, entry.name)
        if is_dataclass(part):
            flat += [inner.name for inner in fields(part)]
    assert len(flat) == len(set(flat))


def test_overrides_reach_every_part_and_leave_the_original_alone():
    changed = profiles.load("demo", observers="uniform", batch_size=8, n_test=50, seeds=2)
    assert changed.observers == "uniform" and changed.training.batch_size == 8 and changed.world.n_test == 50
    assert changed.seeds == (0, 1)
    assert profiles.load("demo") == profiles.PROFILES["demo"]


def test_numbers_and_lists_are_taken_kindly():
    profile = profiles.load("demo", max_angle=5, fractions=[0.2, 0.4])
    assert profile.extraction.max_angle == 5.0 and profile.masking.fractions == (0.2, 0.4)


@pytest.mark.parametrize(
    ("name", "overrides", "complaint"),
    [
        ("paper2", {}, "no profile 'paper2'"),
        ("demo", {"observer": "uniform"}, "no value 'observer'"),
        ("demo", {"observers": "cats"}, "choose from: saliency, uniform"),
        ("demo", {"steps": "five"}, "expected a int"),
        ("demo", {"fills": ["black", "pink"]}, "choose from: black, mean"),
        ("demo", {"kernel_size": 100}, "an odd number"),
        ("demo", {"fractions": [0.5, 1.5]}, "shares between 0 and 1"),
        ("demo", {"cell_counts": [12]}, "from 1 to 11"),
        ("demo", {"steps": True}, "expected a int"),
        ("demo", {"n_test": -3}, "negative"),
        ("demo", {"seeds": 0}, "repeat"),
        ("demo", {"seeds": ()}, "empty"),
        ("demo", {"smoothing": "magic"}, "rotations"),
    ],
)
def test_refusals_say_what_is_possible(name, overrides, complaint):
    with pytest.raises(PaperlibError, match=complaint):
        profiles.load(name, **overrides)
