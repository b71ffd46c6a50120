"""Where results lie, so that no unit is computed twice and no damaged file is taken for a result.

Layout below the store's root (identity and key: see `paperlib.engine.units`):

    <experiment>/<key>.parquet   the rows
    <experiment>/<key>.npz       the arrays, where there are any; if all are of bytes, as maps are, packed as differences
                                 from the value on the left (members ending in .steps)
    <experiment>/<key>.json      the manifest: what was computed by which code and libraries, and the checksums of the
                                 files above
    scratch/<key>/               a running unit's checkpoints; outlives a kill, removed once the result is stored
    logs/<experiment>-<key>.log  the traceback of a unit that failed
    locks/<identity>.lock        held by the process that computes the unit

The manifest is written last: a result counts only with a manifest that is whole and fits its files. Locks are those of
the operating system, released when their process ends, however it ends; they need a local disk.
"""

import hashlib
import io
import json
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from paperlib.engine.progress import say
from paperlib.engine.units import RESERVED, Result, Unit
from paperlib.json_files import parse_json
from paperlib.paths import REPOSITORY, atomic_write

NUMERICAL = ("numpy", "pandas", "scipy", "torch", "timm")
"""Libraries whose versions a manifest notes: modules and distributions of the same name."""

_FAST = 1
"""Level of packing: maps, the bulk of the paper profile, shrink to a third or a sixth; noise and floats hardly at all."""

_STEPS = ".steps"


_KEY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}(?=\.|$)")


class _Damaged(Exception):
    """A stored result cannot be trusted; the text names the file and what is wrong with it."""


@dataclass(frozen=True)
class Stored:
    """All that lies in one folder of a store under one key.

    `folder` is an experiment, `"scratch"` or `"logs"`. `is_whole` is False for a result without a manifest that fits the
    sizes of its files. `seconds` is what it took to compute.
    """

    folder: str
    key: str
    paths: tuple[Path, ...]
    is_whole: bool = True
    seconds: float = 0.0

    @property
    def identity(self) -> str:
        """`Unit.identity` of what was computed."""
        return self.key.partition("-")[0]


class ResultStore:
    """The results below one folder, which is made when something is stored."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self._found_damaged: dict[str, str] = {}

    def __str__(self) -> str:
        return short(self.root)

    def load(self, unit: Unit) -> Result | None:
        """The unit's result, or None where there is none for its key.

        A damaged result is reported in a line that names the file, and removed (or left to the process that is
        replacing it just now). What a kill left behind after a result was stored is removed as well.
        """
        try:
            result = self._read(unit)
        except _Damaged as damage:
            self._discard(unit, str(damage))
            return None
        if result is not None and (self.root / "scratch" / unit.key).exists():
            with suppress(Timeout, OSError, _Damaged), self.lock(unit).acquire(timeout=0):
                self._prune(unit)
        return result

    def why_missing(self, unit: Unit) -> str:
        """Why `load` found nothing: "new", "damaged: …", or "paperlib.maps.hirescam changed"."""
        if unit.key in self._found_damaged:
            return f"damaged: {self._found_damaged[unit.key]}"
        for path in sorted(self._folder(unit).glob(f"{unit.identity}-*.json")):
            with suppress(_Damaged):
                before = _read_manifest(path)["modules"]
                names = sorted({name for name, _ in before.items() ^ unit.modules.items()})
                more = [f"{len(names) - 3} more"] if len(names) > 3 else []
                return f"{', '.join(names[:3] + more) or 'an input'} changed"
        return "new"

    def save(
        self, unit: Unit, result: Result, seconds: float = 0.0, device: str = "cpu", *,
        versions: Mapping[str, str] | None = None, host: str = "",
    ) -> None:  # fmt: skip
        """Store a result, then remove the unit's older versions, its scratch folder and its log.

        The caller holds `lock(unit)`. Whenever the process is killed, the store has the whole result or none.

        Args:
            unit: what was computed.
            result: its rows and arrays.
            seconds: wall time of the computation, filled in where the rows leave `seconds` empty.
            device: where it ran, filled in where the rows leave `device` empty.
            versions: those of the process that computed it; by default this process's (`loaded_versions`).
            host: name of the machine where that ran, for the manifest; left out of it where empty.

        Raises:
            OSError: the folder cannot be written or the disk is full.
        """
        files = _encode(_completed(unit, result, seconds, device))
        for suffix, data in files.items():
            with atomic_write(self._path(unit, suffix)) as file:
                file.write(data)
        manifest = {
            "experiment": unit.experiment, "name": unit.name, "compute": unit.compute, "params": dict(unit.params),
            "needs": {need.name: need.key for need in unit.needs}, "identity": unit.identity, "key": unit.key,
            "modules": unit.modules, "seconds": seconds, "device": device,
            "versions": loaded_versions() if versions is None else dict(versions),
            "files": {suffix: {"size": len(data), "sha256": _checksum(data)} for suffix, data in files.items()},
        } | ({"host": host} if host else {})  # fmt: skip
        with atomic_write(self._path(unit, ".json")) as file:
            file.write(_write_manifest(manifest))
        self._found_damaged.pop(unit.key, None)
        self._prune(unit)

    def lock(self, unit: Unit) -> FileLock:
        """The lock of whoever computes, stores or removes this unit, whatever the version of the code."""
        return self._lock(unit.identity)

    def _lock(self, identity: str) -> FileLock:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{identity}.lock", is_singleton=True)

    def is_in_use(self) -> bool:
        """Whether some process is computing a unit here just now."""
        try:
            for path in self.root.glob("locks/*.lock"):
                with self._lock(path.stem).acquire(timeout=0):
                    pass
        except Timeout:
            return True
        return False

    def stored(self) -> list[Stored]:
        """All that lies here under a key, whoever made it; contents are not read."""
        found: dict[tuple[str, str, bool], list[Path]] = {}
        for path in sorted(self.root.glob("*/*")):
            if key := _KEY.search(path.name):
                found.setdefault((path.parent.name, key[0], path.suffix == ".part"), []).append(path)
        return [_looked_at(folder, key, paths) for (folder, key, _), paths in found.items()]

    def remove(self, one: Stored) -> bool:
        """Take it away, the manifest first; False where a process is computing it."""
        try:
            with self._lock(one.identity).acquire(timeout=0):
                for path in sorted(one.paths, key=lambda path: path.suffix != ".json"):
                    delete(path)
        except Timeout:
            return False
        return True

    def scratch(self, unit: Unit) -> Path:
        """The unit's scratch folder, made if there is none."""
        folder = self.root / "scratch" / unit.key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, unit: Unit) -> Path:
        """The file for the traceback of a failure."""
        return self.root / "logs" / f"{unit.experiment}-{unit.key}.log"

    def _folder(self, unit: Unit) -> Path:
        return self.root / unit.experiment

    def _path(self, unit: Unit, suffix: str) -> Path:
        return self._folder(unit) / f"{unit.key}{suffix}"

    def _read(self, unit: Unit) -> Result | None:
        path = self._path(unit, ".json")
        if not path.exists():
            return None
        manifest = _read_manifest(path)
        if manifest["key"] != unit.key:
            raise _Damaged(f"{short(path)} belongs to another result")
        files = {suffix: _read_file(self._path(unit, suffix), **facts) for suffix, facts in manifest["files"].items()}
        try:
            return _decode(files)
        except Exception as error:  # the checksums fit: it was written by a library that this one does not understand
            raise _Damaged(f"the files of {short(path)} cannot be read by this installation ({error})") from error

    def forget(self, unit: Unit) -> None:
        """Take the unit's result away, so that it is computed again."""
        with self.lock(unit):
            for path in self._folder(unit).glob(f"{unit.key}.*"):
                path.unlink(missing_ok=True)

    def _discard(self, unit: Unit, reason: str) -> None:
        """Report a damaged result and remove it, unless somebody is replacing it or has done so meanwhile."""
        self._found_damaged[unit.key] = reason
        say(f"{reason}: the result of {unit.experiment} {unit.name!r} will be computed again")
        with suppress(Timeout, OSError), self.lock(unit).acquire(timeout=0):
            try:
                self._read(unit)
            except _Damaged:
                self.forget(unit)

    def _prune(self, unit: Unit) -> None:
        """Remove what lies about under the unit's identity apart from its whole result; the scratch folder goes last, so
        that it marks a removal that was cut short."""
        kept = {self._path(unit, suffix) for suffix in (".json", *_read_manifest(self._path(unit, ".json"))["files"])}
        leftovers = {*self._folder(unit).glob(f"{unit.identity}-*"), *self._folder(unit).glob(f".{unit.identity}-*")}
        logs = self.log(unit).parent.glob(f"{unit.experiment}-{unit.identity}-*")
        for path in {*leftovers, *logs} - kept:
            with suppress(OSError):
                path.unlink()
        for folder in (self.root / "scratch").glob(f"{unit.identity}-*"):
            shutil.rmtree(folder, ignore_errors=True)


def delete(path: Path) -> None:
    """A file, a folder with all that it holds, or of a link the link alone; nothing where it is gone already.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _looked_at(folder: str, key: str, paths: Sequence[Path]) -> Stored:
    if folder in RESERVED:
        return Stored(folder, key, tuple(paths))
    by_suffix = {path.suffix: path for path in paths}
    try:
        manifest = _read_manifest(by_suffix[".json"])
        fits = all(by_suffix[suffix].stat().st_size == facts["size"] for suffix, facts in manifest["files"].items())
        return Stored(folder, key, tuple(paths), fits, manifest["seconds"])
    except (_Damaged, KeyError, OSError):
        return Stored(folder, key, tuple(paths), is_whole=False)


def loaded_versions() -> dict[str, str]:
    """Versions of Python and of the numerical libraries that this process has loaded, by distribution."""
    return installed_versions(name for name in NUMERICAL if name in sys.modules)


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of `distributions`, loaded or not; without those that are not installed."""
    found = {"python": platform.python_version()}
    for name in distributions:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def short(path: Path) -> str:
    """The path for a message: relative to the repository where it lies inside."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)


def _completed(unit: Unit, result: Result, seconds: float, device: str) -> Result:
    rows = result.rows
    return replace(
        result,
        rows=rows.assign(
            experiment=rows["experiment"].where(rows["experiment"] != "", unit.experiment),
            seconds=rows["seconds"].fillna(seconds),
            device=rows["device"].where(rows["device"] != "", device),
        ),
    )


def _encode(result: Result) -> dict[str, bytes]:
    """The files of a result by suffix; the same bytes for the same result."""
    table = io.BytesIO()
    result.rows.to_parquet(table, engine="pyarrow", index=False)
    files = {".parquet": table.getvalue()}
    if result.arrays:
        archive = io.BytesIO()
        maps = all(array.dtype == np.uint8 for array in result.arrays.values())
        packing = zipfile.ZIP_DEFLATED if maps else zipfile.ZIP_STORED
        with zipfile.ZipFile(archive, "w", packing, compresslevel=_FAST) as members:
            for name, array in result.arrays.items():
                steps = maps and array.ndim > 0
                kept = np.diff(array, prepend=np.uint8(0)) if steps else array
                with members.open(f"{name}{_STEPS if steps else '.npy'}", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, kept, allow_pickle=False)
        files[".npz"] = archive.getvalue()
    return files


def _decode(files: dict[str, bytes]) -> Result:
    rows = pd.read_parquet(io.BytesIO(files[".parquet"]), engine="pyarrow")
    arrays = {}
    if ".npz" in files:
        with zipfile.ZipFile(io.BytesIO(files[".npz"])) as members:
            for name in members.namelist():
                with members.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                if name.endswith(_STEPS):
                    arrays[name.removesuffix(_STEPS)] = np.cumsum(array, axis=-1, dtype=np.uint8)
                else:
                    arrays[name.removesuffix(".npy")] = array
    return Result(rows, arrays)


def _read_file(path: Path, size: int, sha256: str) -> bytes:
    data = _read_bytes(path)
    if len(data) != size:
        raise _Damaged(f"{short(path)} is damaged ({len(data)} bytes instead of {size})")
    if _checksum(data) != sha256:
        raise _Damaged(f"{short(path)} is damaged (its checksum does not fit)")
    return data


def _write_manifest(manifest: dict[str, Any]) -> bytes:
    """The manifest as JSON that vouches for itself: it holds the checksum of the rest."""
    checksum = _checksum(json.dumps(manifest, sort_keys=True).encode())
    return (json.dumps(manifest | {"checksum": checksum}, indent=1, sort_keys=True) + "\n").encode()


def _read_manifest(path: Path) -> dict[str, Any]:
    data = _read_bytes(path)
    try:
        manifest = parse_json(data)
        del manifest["checksum"]
        intact = _write_manifest(manifest) == data
    except (ValueError, TypeError, KeyError, AttributeError):
        intact = False
    if not intact:
        raise _Damaged(f"{short(path)} is damaged (its checksum does not fit)")
    return manifest


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Damaged(f"{short(path)} is missing or unreadable ({error.strerror})") from error


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
