"""The paper regenerated: rows, tables, figures and claims of a profile.

    settings = profiles.load("demo")
    regenerate.table(1, settings), regenerate.figure(2, settings), regenerate.claims(settings)

Everything here takes a profile, computes what is not yet stored, and returns data to show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperlib.errors import PaperlibError

if TYPE_CHECKING:
    import pandas as pd

    from paperlib.engine.units import Unit
    from paperlib.experiments.artefacts import ClaimResult, Figure1Data, Figure2Data, TableData
    from paperlib.experiments.claims import ClaimParts
    from paperlib.profiles import Profile


@dataclass(frozen=True)
class Section:
    """A section of the paper: its sub-package of `paperlib.experiments`, its notebook, its table and its claim."""

    package: str
    notebook: str
    claim: str
    table: int | None = None

    def of(self, module: str, name: str) -> Callable[..., Any]:
        """Function `name` of the section's `plan`, `results` or `explore`; imported when it is asked for, as torch is
        slow."""
        return getattr(import_module(f"paperlib.experiments.{self.package}.{module}"), name)


SECTIONS = {
    section.package: section
    for section in (
        Section("extracting", "03a", "C1", 1),
        Section("masking", "03b", "C2"),
        Section("dual_task", "03c", "C3", 2),
        Section("compression", "03d", "C4", 3),
    )
}
FIGURES = (1, 2)


def units(profile: Profile, section: str) -> list[Unit]:
    """The units of one section.

    Raises:
        PaperlibError: `profile` does not run this section; data or weights are missing or unfit.
    """
    if SECTIONS[section].notebook not in profile.sections:
        known = " ".join(f"--only {notebook}" for notebook in profile.sections)
        raise PaperlibError(f"profile {profile.name!r} does not run section {section!r} yet; what it runs: {known}")
    make_ready(profile)
    return SECTIONS[section].of("plan", "units")(profile)


def make_ready(profile: Profile) -> None:
    """Write the stand-ins of a rehearsal where they are missing; other profiles bring their data, or generate them."""
    if profile.evidence == "stand-ins":
        from paperlib.rehearsal.write import write_standins

        write_standins(profile)


def rows(section: str, profile: Profile) -> pd.DataFrame:
    """Tidy rows of one of `SECTIONS`."""
    if profile.rows == "kept":
        from paperlib.experiments import kept_rows

        return kept_rows.read(section, profile)
    return _rows(section, profile, profile.store_root)


@lru_cache(maxsize=8)
def _rows(section: str, profile: Profile, store: Path) -> pd.DataFrame:
    import pandas as pd

    from paperlib.experiments.running import compute, try_again

    planned = units(profile, section)
    if section == "compression":  # a method that failed may have its weights by now
        from paperlib.experiments.compression.scoring import FAILURE

        try_again(planned, profile, FAILURE)
    results = compute(planned, profile, section)
    return pd.concat([result.rows for result in results.values() if len(result.rows)], ignore_index=True)


def keep_rows(profile: Profile, sections: Iterable[str], figures: Path) -> list[Path]:
    """Write the rows of `sections` of a profile of real data into `figures`, for those who have not the data; those of other
    profiles anyone can compute."""
    from paperlib.experiments import kept_rows

    if not profile.keeps_rows:
        return []
    return [kept_rows.keep(section, rows(section, profile), figures) for section in sections]


def forget() -> None:
    """Read rows from the store again when they are asked for next."""
    _rows.cache_clear()


def prepare(profile: Profile) -> None:
    """Compute everything that the tables, figures and claims of `profile` need, side by side."""
    from paperlib.experiments.running import compute

    compute(_wanted(profile), profile, profile.name)


def made_of(profile: Profile) -> str:
    """A digest of all that the notebooks of `profile` show things from, beside their own text and parameters: the results,
    this package with its data, the real rows in figures/ and the installed packages."""
    from importlib import metadata

    from paperlib import paths
    from paperlib.datasets.contents import digests, remembering

    shown = (".csv", ".jinja", ".json", ".mplstyle", ".py", ".safetensors")
    folders = (paths.REPOSITORY / "paperlib", paths.FIGURES)
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix in shown and file.is_file())
    installed = sorted(f"{package.name} {package.version}" for package in metadata.distributions())
    with remembering(paths.results_root()):
        wanted, refusals = plannable(profile)
        parts = [*(unit.key for unit in wanted), *refusals, *map(str, files), *digests(files), *installed]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def plannable(profile: Profile) -> tuple[list[Unit], list[str]]:
    """What is `planned` of all sections that the profile has, and why the rest of them cannot be planned."""
    wanted: list[Unit] = []
    refusals = []
    for name, section in SECTIONS.items():
        if section.notebook in profile.sections:
            try:
                wanted += planned(profile, name)
            except PaperlibError as error:
                refusals.append(str(error))
    return wanted, refusals


def _wanted(profile: Profile) -> list[Unit]:
    from paperlib.experiments.available import with_data

    filled = with_data(profile)
    make_ready(profile)
    sections = [section.package for section in SECTIONS.values() if section.notebook in filled]
    return [unit for section in sections for unit in planned(profile, section)]


def planned(profile: Profile, section: str) -> list[Unit]:
    """The units of one section, and of what its notebook shows besides; nothing is written.

    Raises:
        PaperlibError: data or weights are missing or unfit.
    """
    wanted = SECTIONS[section].of("plan", "units")(profile)
    if section == "masking":
        wanted += SECTIONS[section].of("plan", "observers_units")(profile)
    if section == "dual_task":
        wanted += SECTIONS[section].of("plan", "film_units")(profile).values()
    return wanted


def table(number: int, profile: Profile) -> TableData:
    """Table I, II or III of `profile`.

    Raises:
        PaperlibError: there is no such table.
    """
    by_number = {section.table: section for section in SECTIONS.values() if section.table}
    if number not in by_number:
        raise PaperlibError(f"there is no table {number}; choose one of: {', '.join(map(str, sorted(by_number)))}")
    section = by_number[number]
    return section.of("results", "table")(rows(section.package, profile), profile)


def figure(number: int, profile: Profile) -> Figure1Data | Figure2Data:
    """The data of Figure 1 or 2 of `profile`.

    Raises:
        PaperlibError: there is no such figure.
    """
    if number == 1:
        from paperlib.experiments.extracting import explore

        if profile.keeps_rows:
            return explore.photographs()
        make_ready(profile)
        return explore.figure(explore.examples(profile))
    if number == 2:
        return SECTIONS["masking"].of("results", "curves")(rows("masking", profile))
    raise PaperlibError(f"there is no figure {number}; choose one of: {', '.join(map(str, FIGURES))}")


def claim_parts(profile: Profile, ids: Iterable[str] | None = None) -> dict[str, ClaimParts]:
    """What claims `ids` (all four when None) rest on, with their controls. Only their sections are computed."""
    by_claim = {section.claim: section for section in SECTIONS.values()}
    wanted = {id: by_claim[id] for id in (by_claim if ids is None else ids)}
    return {id: one.of("results", "claim_parts")(rows(one.package, profile), profile) for id, one in wanted.items()}


def claims(profile: Profile, ids: Iterable[str] | None = None) -> list[ClaimResult]:
    """The outcome of claims `ids` (all four when None) under `profile`."""
    from paperlib.experiments.claims import results

    return results(claim_parts(profile, ids), profile)
