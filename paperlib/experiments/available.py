"""Which sections of the paper the data at hand can fill."""

from pathlib import Path
from typing import TYPE_CHECKING

from paperlib.datasets.sacid import COMPRESSED, holds_scores_alone
from paperlib.engine.progress import say
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.plan import home

if TYPE_CHECKING:
    from paperlib.profiles import Profile

_OWN = "own"


def without_data(profile: "Profile") -> dict[str, str]:
    """Notebooks of the profile's `optional` sections whose data are not in the folder, and a sentence on each: what is
    expected.

    Empty where no folder is named or there is none of that name: that is told by those who open it.
    """
    root = Path(profile.data_root)
    if not profile.data_root or not root.is_dir():
        return {}
    name = profile.compression.compression_set
    found = home(root, name)
    if "03d" in profile.optional and name != _OWN and not (_is_coded(found) or holds_scores_alone(found)):
        return {
            "03d": f"Table III is left out: it needs {name}, which {root} has not; "
            f"`python -m paperlib data fetch {name} --profile {profile.name}` gets it or says how"
        }
    return _without_own_data(profile, home(root, _OWN))


def _without_own_data(profile: "Profile", home: Path) -> dict[str, str]:
    pictures = (home / "images").is_dir()
    expected = {
        "03a": (
            _OWN in profile.photographs.datasets,
            pictures,
            "Table I is left out: it needs images/ and fixations.csv (columns image, subject, x, y)",
        ),
        "03b": (
            _OWN in profile.masking.opinions,
            pictures,
            "Figure 2 is left out: it needs images/ and mos.csv (columns image, mos) or fixations.csv",
        ),
        "03d": (
            profile.compression.compression_set == _OWN,
            _is_coded(home),
            f"Table III is left out: it needs the folder {COMPRESSED} with coded pictures and moses.csv, which "
            "`python -m paperlib code FOLDER` and `python -m paperlib votes FILE --moses moses.csv` make",
        ),
    }
    return {
        notebook: f"{sentence}; {home} has none"
        for notebook, (is_own, is_there, sentence) in expected.items()
        if notebook in profile.sections and is_own and not is_there
    }


def with_data(profile: "Profile") -> list[str]:
    """The notebooks of the profile's sections that can be filled; what is left out is told.

    Raises:
        PaperlibError: the data can fill none.
    """
    absent = without_data(profile)
    if absent.keys() >= set(profile.sections):
        raise PaperlibError("; ".join(absent.values()))
    for sentence in absent.values():
        say(sentence)
    return [section for section in profile.sections if section not in absent]


def _is_coded(home: Path) -> bool:
    """Whether coded pictures lie here, or where `paperlib.datasets.sacid` looks for them as well."""
    return any((folder / COMPRESSED).is_dir() for folder in (home, *(one for one in home.iterdir() if one.is_dir())))
