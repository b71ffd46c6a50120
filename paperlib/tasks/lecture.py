"""What a lecturer changes in class, computed beforehand, so that the notebooks show it within seconds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from paperlib import profiles, regenerate
from paperlib.engine.progress import say
from paperlib.errors import PaperlibError

if TYPE_CHECKING:
    from paperlib.profiles import Profile

CHANGES: tuple[tuple[Mapping[str, Any], tuple[str, ...]], ...] = (
    ({"observers": "uniform"}, ("03a", "03b", "03c", "03d")),
    ({"n_passes": 1}, ("03a",)),
    ({"smoothing": "none"}, ("03a",)),
    ({"principal_component": False}, ("03a",)),
    ({"center_mos": True}, ("03a",)),
    ({"blur_sigma": 0.0}, ("03b",)),
    ({"saliency_weight": 1.0}, ("03c",)),
    ({"assessors": 60}, ("03d",)),
)
"""Parameters of the notebooks with another value, and the notebooks whose results they change."""


def prepare(profile: "Profile") -> None:
    """Compute what the notebooks need with their first values, and with each of `CHANGES`, one change at a time.

    Raises:
        PaperlibError: the profile is not the demo; other profiles have too much to compute for a class.
    """
    if profile.evidence != "simulation":
        raise PaperlibError(f"lectures are prepared on the demo, got profile {profile.name!r}; leave --profile out")
    regenerate.prepare(profile)
    for values, changed in changes(profile):
        say("lecture: " + ", ".join(f"{name}={value}" for name, value in values.items()))
        regenerate.prepare(changed)


def changes(profile: "Profile") -> Iterator[tuple[Mapping[str, Any], "Profile"]]:
    """Each of `CHANGES` with the profile that has it, and the sections that it changes alone."""
    for values, sections in CHANGES:
        yield values, replace(profiles.load(profile.name, **values), sections=sections)
