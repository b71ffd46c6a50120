"""Units of work and their results.

A `Unit` is the smallest piece of an experiment worth resuming or sending elsewhere. It is known by two hashes. Its
`identity` says *what* is computed: the experiment, the function's name, the parameters and the inputs. Its `key` says
also *by which code*: it covers the paperlib modules that the function's module imports, directly or not, so that an
edit of `paperlib.maps.hirescam` makes exactly those results stale that come out of it.

What the key does not see: files that are read at run time (put their fingerprint into the parameters), modules that are
imported by a computed name, and the versions of other packages (they stand in the store's manifests).
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paperlib.errors import PaperlibError

Scalar = None | bool | int | float | str

COLUMNS = (
    "experiment", "method", "dataset", "metric", "variant", "seed", "value", "low", "high", "n", "seconds", "device",
)  # fmt: skip

RESERVED = ("logs", "scratch", "locks", "scores")
"""Folders of a result store that no experiment may be named after."""

_TYPES = dict.fromkeys(COLUMNS, "str") | dict.fromkeys(("value", "low", "high", "seconds"), "float64")
_TYPES |= dict.fromkeys(("seed", "n"), "int64")
_BLANKS = {"str": "", "float64": np.nan, "int64": 0}

RESOURCES = ("cpus", "gpus", "memory")
"""What a unit may ask of a cluster: processors, graphics processors (a fraction shares one), and GiB of memory."""

_FORMAT = 1
"""Raised by hand when the engine changes in a way that changes results: the engine's own modules are in no key."""

_CARRIERS = frozenset(
    f"paperlib.engine.{name}" for name in ("units", "store", "plan", "local", "cluster", "progress", "checkpoints")
) | {"paperlib.errors", "paperlib.json_files", "paperlib.paths", "paperlib.settings"}
"""Modules that carry results and cannot change them; a new wording of a message must not cost a recomputation."""


# ------------------------------------------------------------------------------------------------------------- units


@dataclass(frozen=True)
class Unit:
    """One piece of work: a function, its parameters, and the units whose results it needs.

    Args:
        experiment: folder of the results: letters, digits, `_` and `-`.
        name: readable, and unique among the units that run together: `"baseline/saliency/seed0"`.
        compute: `"package.module:function"`; the function is called as `function(params, inputs, scratch)` with
            `params: dict`, `inputs: Inputs` by the needed units' names (read from the store each time that
            one is asked for, so that a long list of them needs no memory), and `scratch: Path`, a folder that
            outlives a kill (for checkpoints) and is removed once the result is stored. It returns a `Result`.
        params: everything that decides the result, the data set's fingerprint included. Sorted by name; values are
            None, bool, int, finite float, str, or tuples of these (lists and NumPy scalars are converted).
        needs: units whose results the function reads.
        cost: rough cost relative to other units; long ones are started first. No part of the identity.
        places: where the function finds files, by name; joined to `params` for the call. No part of the identity, so that
            data may move: what the files hold must stand in `params`, as a fingerprint.
        calls: further functions, `"package.module:function"` each, that `compute` calls by a name that stands in the
            parameters (see `function`): an opener of a data set, a maker of maps. Their code is part of the key.
        resources: what the unit occupies on a cluster, by names out of `RESOURCES`; by default one CPU, no GPU and
            whatever memory there is. Without effect on one machine, and no part of the identity.

    Raises:
        ValueError: a field is malformed or a parameter's value is of another kind.
    """

    experiment: str
    name: str
    compute: str
    params: tuple[tuple[str, Any], ...] = ()
    needs: tuple["Unit", ...] = ()
    cost: float = field(default=1.0, compare=False)
    places: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    calls: tuple[str, ...] = ()
    resources: tuple[tuple[str, float], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        keep("params", tuple(sorted((key, _plain(value, key)) for key, value in dict(self.params).items())))
        keep("needs", tuple(self.needs))
        keep("places", tuple(sorted((key, str(value)) for key, value in dict(self.places).items())))
        keep("calls", tuple(sorted(set(self.calls))))
        keep("resources", tuple(sorted((key, float(value)) for key, value in dict(self.resources).items())))
        if not re.fullmatch(r"[\w-]+", self.experiment) or self.experiment in RESERVED:
            raise ValueError(f"experiment must be a plain folder name and none of {RESERVED}, got {self.experiment!r}")
        if not self.name:
            raise ValueError("name must not be empty: it tells users which unit is running")
        for name in (self.compute, *self.calls):
            if not re.fullmatch(r"[\w.]+:\w+", name) or name.startswith("__main__:"):
                raise ValueError(f"compute must read 'importable.module:function' (not __main__), got {name!r}")
        names = [need.name for need in self.needs]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of needed units must differ, got {names}: inputs are handed over by name")
        if both := dict(self.params).keys() & dict(self.places).keys():
            raise ValueError(f"parameters and places must have different names, got {sorted(both)} in both")
        if any(key not in RESOURCES or not 0 <= value < float("inf") for key, value in self.resources):
            raise ValueError(
                f"resources must be finite numbers of 0 or more, named out of {RESOURCES}, got {self.resources}"
            )

    @classmethod
    def of(
        cls,
        experiment: str,
        name: str,
        compute: str,
        /,
        needs: Iterable["Unit"] = (),
        cost: float = 1.0,
        places: Mapping[str, Any] | None = None,
        resources: Mapping[str, float] | None = None,
        calls: Iterable[str] = (),
        **params: Any,
    ) -> "Unit":
        """The unit with these parameters given by name. Raises ValueError like the class."""
        at, asked = tuple((places or {}).items()), tuple((resources or {}).items())
        return cls(experiment, name, compute, tuple(params.items()), tuple(needs), cost, at, tuple(calls), asked)

    @property
    def arguments(self) -> dict[str, Any]:
        """`params` and `places` as the function gets them."""
        return dict(self.params) | dict(self.places)

    @cached_property
    def identity(self) -> str:
        """Hash of what is computed, whatever the code: 16 hexadecimal digits."""
        needs = sorted(need.identity for need in self.needs)
        return _digest(json.dumps([_FORMAT, self.experiment, self.compute, self.params, needs], allow_nan=False))

    @cached_property
    def key(self) -> str:
        """`<identity>-<hash of the code and of the needed units' keys>`: the name of the result in the store."""
        needs = sorted(need.key for need in self.needs)
        return f"{self.identity}-{_digest(json.dumps([self.own_modules, needs]))}"

    @cached_property
    def modules(self) -> dict[str, str]:
        """Hash by module name of all code behind the result, that behind the needed units included."""
        modules = {name: version for need in self.needs for name, version in need.modules.items()}
        return dict(sorted((modules | self.own_modules).items()))

    @cached_property
    def own_modules(self) -> dict[str, str]:
        """Hash by module name of the code behind this unit alone: of `compute` and of what it calls by name."""
        found = {name: version for called in (self.compute, *self.calls) for name, version in code_version(called).items()}
        return dict(sorted(found.items()))

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the cached hashes: another process looks at the code that it runs itself."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _plain(value: Any, name: str) -> Scalar | tuple[Any, ...]:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(_plain(item, name) for item in value)
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"parameter {name!r} must be finite, got {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"parameter {name!r} must be a plain value or a tuple of them, got {type(value).__name__}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ----------------------------------------------------------------------------------------------------------- results


@dataclass
class Result:
    """What a unit computed.

    Args:
        rows: a table, or records, with columns out of `COLUMNS`; see `tidy`. May be empty.
        arrays: arrays by name; no object arrays. May be empty.

    Raises:
        ValueError: an unknown column, a value that does not fit its column, or an array of Python objects.
    """

    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = tidy(self.rows)
        self.arrays = {name: np.asarray(array) for name, array in self.arrays.items()}
        objects = [name for name, array in self.arrays.items() if array.dtype.hasobject]
        if objects:
            raise ValueError(f"arrays must hold numbers or fixed-width text, got Python objects in {objects}")


Inputs = Mapping[str, Result]
"""The results of a unit's needs by name, in the order of the needs."""


def tidy(rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows with exactly the columns `COLUMNS`, in fixed types, so that any rows can be stacked.

    Absent columns and values become "" in `experiment`, `method`, `dataset`, `metric`, `variant` and `device`, NaN in
    `value`, `low`, `high` (ends of an interval) and `seconds` (wall time of the whole unit that made the row), and 0 in
    `seed` (nothing random) and `n` (no count). The store fills in `experiment`, `seconds` and `device`.

    Raises:
        ValueError: an unknown column, or a value that does not fit its column.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), dtype=object)
    unknown = sorted(set(map(str, frame.columns)) - set(COLUMNS))
    if unknown:
        raise ValueError(f"rows must have columns out of {COLUMNS}, got also {unknown}")
    columns = {}
    for column, kind in _TYPES.items():
        given = frame[column] if column in frame else [None] * len(frame)
        values = [_BLANKS[kind] if missing else value for value, missing in zip(given, pd.isna(given), strict=True)]
        try:
            columns[column] = pd.Series(values, dtype=kind)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {column!r} of the rows must hold {kind} values: {error}") from error
    return pd.DataFrame(columns)


# ---------------------------------------------------------------------------------------------------- version of code


def code_version(compute: str) -> dict[str, str]:
    """Hash by module name of the modules behind `"package.module:function"`.

    These are the module and what it imports, directly or not, within its top-level package, also by imports inside
    functions; imports under `if TYPE_CHECKING:` do not count. A package that is merely passed through on the way to one
    of its modules counts with what importing it runs, which leaves out the bodies of its functions. A hash covers a
    module's syntax tree without docstrings, comments and `__version__`, so that edits of prose leave results valid.

    The sources are read once per process.

    Raises:
        PaperlibError: there is no source of the module.
    """
    return dict(_closure(compute.partition(":")[0]))


def function(name: str) -> Callable[..., Any]:
    """The function `"package.module:function"`, imported.

    A unit that calls functions by name must list them in `Unit.calls`, so that its key knows their code.
    """
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def check_unchanged(unit: Unit) -> None:
    """Raises PaperlibError where code behind `unit` was edited since this process first looked at it."""
    edited = [name for name, version in unit.modules.items() if _edited(name, version)]
    if edited:
        raise PaperlibError(
            f"{', '.join(edited)} changed on disk while this process was using the earlier version: start again "
            "(in Jupyter: restart the kernel)"
        )


@cache
def _closure(entry: str) -> dict[str, str]:
    if _module(entry) is None:
        raise PaperlibError(f"expected an importable Python module, found no source of {entry!r}")
    whole: dict[str, _Module] = {}
    passed: dict[str, _Module] = {}
    queue = [(entry, True)]
    while queue:
        name, used = queue.pop()
        seen = whole if used else passed
        module = _module(name)
        if module is None or name in seen or name in _CARRIERS:
            continue
        seen[name] = module
        parts = name.split(".")
        queue += [(".".join(parts[:length]), False) for length in range(1, len(parts))]
        queue += [(target, True) for target in _targets(module, used)]
    hashes = {name: module.passing_hash for name, module in passed.items()}
    return dict(sorted((hashes | {name: module.hash for name, module in whole.items()}).items()))


def _targets(module: "_Module", used: bool) -> Iterator[str]:
    """Modules of the same top-level package that `module` imports."""
    top = module.name.partition(".")[0]
    for base, name in module.imports if used else module.passing_imports:
        if base.partition(".")[0] == top:
            submodule = f"{base}.{name}"
            yield submodule if name and _module(submodule) else base


@dataclass(frozen=True)
class _Module:
    """A source file: hashes and imports of the whole, and of what merely importing it runs."""

    name: str
    path: Path
    stamp: tuple[int, int]
    hash: str
    imports: tuple[tuple[str, str], ...]
    passing_hash: str
    passing_imports: tuple[tuple[str, str], ...]


@cache
def _module(name: str) -> _Module | None:
    path = _source(name)
    return _read(name, path) if path else None


def _read(name: str, path: Path) -> _Module:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    stamp = _stamp(path)
    tree = _WithoutProse().visit(ast.parse(path.read_bytes(), filename=str(path)))
    whole = _digest(ast.dump(tree)), tuple(_imports(tree, package))
    if path.name != "__init__.py" or _runs_own_functions(tree):
        return _Module(name, path, stamp, *whole, *whole)
    tree = _WithoutBodies().visit(tree)
    return _Module(name, path, stamp, *whole, _digest(ast.dump(tree)), tuple(_imports(tree, package)))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _edited(name: str, version: str) -> bool:
    known = _module(name)
    try:
        if known is None or _stamp(known.path) == known.stamp:
            return False
        now = _read(name, known.path)
    except (OSError, SyntaxError):
        return True
    return version not in (now.hash, now.passing_hash)


@cache
def _source(name: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *parts = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:
        return None
    if spec is None:
        return None
    if not parts:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        stem = Path(folder, *parts)
        for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
            if path.is_file():
                return path
    return None


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Pairs (module, name imported from it or "") of all import statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            yield from ((base, alias.name) for alias in node.names)


class _WithoutProse(ast.NodeTransformer):
    """Drops docstrings, `__version__`, and what stands under `if TYPE_CHECKING:`."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if [ast.unparse(target) for target in node.targets] == ["__version__"] else node

    def visit_If(self, node: ast.If) -> ast.AST:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = []
        return self.generic_visit(node)


class _WithoutBodies(ast.NodeTransformer):
    """Empties functions and methods."""

    def visit_FunctionDef(self, node: Any) -> Any:
        node.body = []
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


def _runs_own_functions(module: ast.Module) -> bool:
    """Whether a module's top-level statements, decorators among them, call functions that it defines."""
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    decorators = [decorator for function in functions.values() for decorator in function.decorator_list]
    statements = [node for node in module.body if node not in functions.values()]
    calls = [node.func for top in decorators + statements for node in ast.walk(top) if isinstance(node, ast.Call)]
    return any(isinstance(node, ast.Name) and node.id in functions for node in decorators + calls)
