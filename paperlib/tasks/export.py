"""Trained Baselines as files of weights, under the names by which Table I and Figure 2 look for them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paperlib.engine.progress import say
from paperlib.engine.store import ResultStore
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.plan import WORLDS
from paperlib.experiments.training.plan import Training, trainings
from paperlib.json_files import parse_json
from paperlib.paths import atomic_write, writing_to
from paperlib.sources.networks import WEIGHTS
from paperlib.sources.source import baseline_file

if TYPE_CHECKING:
    from paperlib.engine.units import Result
    from paperlib.profiles import Profile

ORIGIN = "paperlib"
"""Entry of a file's metadata that says, as JSON, where the weights come from."""


def export_baselines(profile: "Profile", folder: Path | None = None) -> list[Path]:
    """Write the Baseline of every backbone that Table II has trained, of the first repeat; nothing is trained for it.

    The file's metadata name the profile, the key of the stored result, and everything that decided the training. A file
    that an earlier export wrote is replaced.

    Args:
        profile: whose Table II; with the data and weights that it was trained on, which the results are known by.
        folder: where to, the profile's `weights_root` when None.

    Returns:
        The files `baseline_<backbone>.safetensors`.

    Raises:
        PaperlibError: the profile trains nothing on photographs, no Baseline is trained yet, weights of another origin
            lie in the folder (then nothing is written), or it cannot be written.
    """
    if profile.dual_task.training_set in WORLDS or "03c" not in profile.sections:
        raise PaperlibError(f"profile {profile.name!r} trains no network on photographs; export with --profile paper")
    folder, store = Path(folder or profile.weights_root), ResultStore(profile.store_root)
    wanted = [
        one
        for one in trainings(profile)
        if one.seed == profile.seeds[0] and one.network.variant == "baseline" and not one.network.departs
    ]
    results = [(one, result) for one in wanted if (result := store.load(one.unit)) is not None]
    if not results:
        raise PaperlibError(
            f"{store} holds no trained Baseline of profile {profile.name!r} yet; train it with `prepare` "
            "or `table 2` and the same options"
        )
    files = [folder / baseline_file(one.network.backbone) for one, _ in results]
    for file in files:
        if file.exists() and not origin_of(file):
            raise PaperlibError(
                f"{file} holds weights that no export wrote; move them away, or give another folder with --out DIR"
            )
    trained = [one for one, _ in results]
    for one in wanted:
        if one not in trained:
            say(f"Baseline with {one.network.backbone}: not trained yet, left out")
    for file, (one, result) in zip(files, results, strict=True):
        with writing_to(folder, "give another folder with --out DIR"), atomic_write(file) as stream:
            stream.write(_encoded(one, result, profile))
    return files


def origin_of(file: Path) -> dict[str, object]:
    """What `export_baselines` wrote about a file: `profile`, `evidence`, `key`, `training` and its parameters `params`;
    empty for a file of another origin.

    Raises:
        FileNotFoundError: there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as weights:
            origin = parse_json((weights.metadata() or {}).get(ORIGIN, "{}"))
    except (SafetensorError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _encoded(training: Training, result: "Result", profile: "Profile") -> bytes:
    """A safetensors file; its metadata are one entry, so that equal networks make equal bytes."""
    from safetensors.numpy import save

    origin = {
        "profile": profile.name,
        "evidence": profile.evidence,
        "key": training.unit.key,
        "training": training.name,
        "params": dict(training.unit.params),
    }
    weights = {
        name.removeprefix(WEIGHTS): np.ascontiguousarray(value).reshape(value.shape)
        for name, value in result.arrays.items()
        if name.startswith(WEIGHTS)
    }
    return save(weights, {ORIGIN: json.dumps(origin, sort_keys=True)})
