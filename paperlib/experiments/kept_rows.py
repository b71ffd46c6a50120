"""Rows that lie in the repository, so that tables, figures and claims of a profile can be shown without its data."""

from pathlib import Path

import pandas as pd

from paperlib import alike, paths
from paperlib.engine.units import tidy
from paperlib.errors import PaperlibError
from paperlib.profiles import Profile, changed

_OF_A_MACHINE = ["seconds", "device"]


def keep(section: str, rows: pd.DataFrame, figures: Path) -> Path:
    """Write the rows of a section, as `paperlib.regenerate.rows` has them, beside the tables and figures made of them: six
    significant digits, without times and devices."""
    file = _file(section, figures)
    text = rows.drop(columns=_OF_A_MACHINE).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    alike.write({file: text.encode()})
    return file


def read(section: str, profile: Profile) -> pd.DataFrame:
    """The rows of a section that the repository holds for a profile.

    Raises:
        PaperlibError: it holds none, or the profile's values are not those that they were made with.
    """
    if others := [f"{name}={value!r}" for name, value in changed(profile).items()]:
        raise PaperlibError(
            f"the rows kept for the profile {profile.name!r} were not made with {', '.join(others)}; leave out --kept to "
            "compute them"
        )
    file = _file(section, paths.FIGURES / (profile.kept or ""))
    if profile.kept is None or not file.is_file():
        raise PaperlibError(
            f"no rows of section {section!r} are kept for the profile {profile.name!r}; leave out --kept to compute them"
        )
    try:
        return tidy(pd.read_csv(file, keep_default_na=False, na_values=[""]))
    except (OSError, ValueError, LookupError) as error:
        raise PaperlibError(f"{file} is damaged ({type(error).__name__}); restore it with git checkout") from error


def _file(section: str, figures: Path) -> Path:
    return figures / "rows" / f"{section}.csv"
