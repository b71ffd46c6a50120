"""The paper's experiments, one module per section; this is their common door.

Everything here takes a profile, computes what is not yet stored, and returns data to show.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from paperlib.errors import PaperlibError

if TYPE_CHECKING:
    import pandas as pd

    from paperlib.engine.units import Result, Unit
    from paperlib.experiments.artefacts import ClaimResult, Figure1Data, Figure2Data, TableData
    from paperlib.experiments.extraction import Examples
    from paperlib.experiments.judging import Parts
    from paperlib.profiles import Profile

SECTIONS = {"03a": "extraction", "03b": "masking", "03c": "dual_task", "03d": "compression"}
TABLES = {1: "extraction", 2: "dual_task", 3: "compression"}
FIGURES = (1, 2)


def _module(name: str):
    from importlib import import_module

    return import_module(f"paperlib.experiments.{name}")


def _require(section: str, profile: "Profile") -> None:
    """Raises PaperlibError when `profile` cannot fill a section yet."""
    if section not in [SECTIONS[notebook] for notebook in profile.sections]:
        known = " ".join(f"--only {notebook}" for notebook in profile.sections)
        raise PaperlibError(f"profile {profile.name!r} does not run section {section!r} yet; what it runs: {known}")


def compute(units: Iterable["Unit"], profile: "Profile", title: str) -> dict[str, "Result"]:
    """Results of `units` by name, from the profile's store where they are there; the rest is computed here, or on the
    Ray cluster that the settings name."""
    from paperlib.engine.store import ResultStore
    from paperlib.settings import current

    unique = list({unit.name: unit for unit in units}.values())
    store, settings = ResultStore(profile.store_root), current()
    if settings.ray_address:
        from paperlib.engine import cluster

        return cluster.run(
            unique,
            store,
            address=settings.ray_address,
            title=title,
            gpu_share=settings.gpu_share,
            ship_code=settings.ship_code,
            workers=settings.workers,
        )
    from paperlib.engine.local import run

    return run(unique, store, workers=settings.workers, title=title)


@cache
def rows(section: str, profile: "Profile") -> "pd.DataFrame":
    """Tidy rows of one section: `"extraction"`, `"masking"`, `"dual_task"` or `"compression"`."""
    import pandas as pd

    _require(section, profile)
    results = compute(_module(section).units(profile), profile, section)
    return pd.concat([result.rows for result in results.values() if len(result.rows)], ignore_index=True)


def prepare(profile: "Profile") -> None:
    """Compute everything that the tables, figures and claims of `profile` need, side by side."""
    sections = [SECTIONS[notebook] for notebook in _module("own_sections").with_data(profile)]
    films = _module("training_explorer").film_units(profile).values()
    compute([*(unit for name in sections for unit in _module(name).units(profile)), *films], profile, profile.name)


def table(number: int, profile: "Profile") -> "TableData":
    """Table I, II or III of `profile`.

    Raises:
        PaperlibError: there is no such table.
    """
    if number not in TABLES:
        raise PaperlibError(f"there is no table {number}; choose one of: {', '.join(map(str, TABLES))}")
    return _module(TABLES[number]).table(rows(TABLES[number], profile), profile)


def figure(number: int, profile: "Profile") -> "Figure1Data | Figure2Data":
    """The data of Figure 1 or 2 of `profile`.

    Raises:
        PaperlibError: there is no such figure.
    """
    if number == 1:
        return _module("extraction").figure(examples(profile))
    if number == 2:
        return _module("masking").curves(rows("masking", profile))
    raise PaperlibError(f"there is no figure {number}; choose one of: {', '.join(map(str, FIGURES))}")


@cache
def examples(profile: "Profile") -> "Examples":
    """A few images with an IQA network to look into, and the maps that Figure 1 is drawn from."""
    units = _module("extraction").figure_units(profile)
    results = compute(units.values(), profile, "figure 1")
    return _module("extraction").examples({role: results[unit.name] for role, unit in units.items()}, profile)


def claim_parts(profile: "Profile", ids: Iterable[str] | None = None) -> "dict[str, Parts]":
    """The quantities behind claims `ids` (all four when None), over seeds. Only their sections are computed."""
    from paperlib.experiments.judging import PARTS

    wanted = {id: PARTS[id] for id in (PARTS if ids is None else ids)}
    return {id: parts(rows(section, profile)) for id, (section, parts) in wanted.items()}


def claims(profile: "Profile", ids: Iterable[str] | None = None) -> "list[ClaimResult]":
    """The outcome of claims `ids` (all four when None) under `profile`."""
    from paperlib.experiments import judging

    return judging.results(claim_parts(profile, ids), profile)
