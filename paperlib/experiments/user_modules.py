"""Where modules of the user's own networks are looked for (`--model package.module:factory`).

First where Python looks; then, in every process that computes, in the folder in which the command was started, and in
the folder of the data. These two come last, so that no file in them takes the place of an installed package.
"""

import importlib.util
import sys
from pathlib import Path

from paperlib.errors import PaperlibError
from paperlib.settings import current


def find_module(name: str) -> Path | None:
    """The file of a module; from then on this process, and workers that it starts, can import it.

    Args:
        name: dotted name.

    Returns:
        Its file; None for a module that has none, such as a folder without `__init__.py`.

    Raises:
        PaperlibError: there is no such module, or importing the package that it lies in fails.
    """
    folders = [str(folder) for folder in current().model_path if folder.is_dir()]
    sys.path += [folder for folder in folders if folder not in sys.path]
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    except Exception as error:  # whatever the package of a user raises
        raise PaperlibError(f"--model: the package of {name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        also = f" nor in {' or '.join(folders)}" if folders else ""
        raise PaperlibError(
            f"--model: there is no module {name} where Python looks{also}; write MODULE:FUNCTION and start in "
            "the folder of the module, put it into the folder of the data, or set PYTHONPATH"
        )
    return Path(found.origin) if found.has_location and found.origin else None
