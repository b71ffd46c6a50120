"""Running the notebooks: parameters are checked before anything starts, each notebook gets a fresh kernel, and one that
fails does not stop the others. Promoting: executed outputs go back into the committed notebooks without run times."""

import ast
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode

from paperlib.engine.progress import say
from paperlib.errors import PaperlibError
from paperlib.paths import REPOSITORY, atomic_write, in_the_way, temporary_folder
from paperlib.profiles import literal

_KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
_RUN_METADATA = ("papermill", "execution", "collapsed", "scrolled")
_PAGE = """
{%- extends "lab/index.html.j2" -%}
{% block codecell %}
{%- set tags = cell.metadata.get("tags", []) -%}
{%- if "solution" in tags or "look-up" in tags -%}
{%- set kind = "solution" if "solution" in tags else "look-up" -%}
<details class="{{ kind }}"><summary style="margin-left: 87px; font-family: var(--jp-content-font-family);
  font-size: var(--jp-content-font-size1)">{{ kind.capitalize() }}</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{% endblock codecell %}
{% block html_head_js_mathjax %}<style>
math[display="block"] { font-size: 1.2em; padding: 0.4em 0 }
@media (min-width: 760px) { .celltag_answer .jp-RenderedMarkdown { padding-left: 17px } }
</style>{% endblock %}
"""
"""The page of a notebook: as nbconvert makes it, solutions of exercises and look-up cells folded, formulas by the
browser."""
_CODE_OR_FORMULA = re.compile(r"```.*?```|`[^`\n]*`|\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)


_WORDS_A_MINUTE, _SECONDS_A_CODE_LINE, _SECONDS_A_PICTURE_OR_TABLE = 200, 3, 20


@dataclass(frozen=True)
class NotebookRun:
    """What came of one notebook: where its executed copy lies, how long it took, `error`, one sentence or None, and whether
    it was `unchanged`, so that the copy is of an earlier run."""

    name: str
    notebook: Path
    html: Path | None
    seconds: float
    error: str | None = None
    unchanged: bool = False

    def __str__(self) -> str:
        if self.unchanged:
            return f"{self.name}: as it was, for nothing that it shows has changed"
        return f"{self.name}: {self.error or 'complete'} ({self.seconds:.1f} s)"


def find(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Notebooks of `folder` in name order; with `only`, those whose name starts with one of the prefixes.

    Raises:
        PaperlibError: there are no notebooks, or a prefix fits none.
    """
    every = sorted(folder.glob("*.ipynb"))
    if not every:
        raise PaperlibError(f"there are no notebooks in {folder}; is the checkout complete?")
    for prefix in only:
        if not prefix or not any(path.stem.startswith(prefix) for path in every):
            known = ", ".join(path.stem for path in every)
            raise PaperlibError(f"no notebook starts with {prefix!r}; choose from: {known}")
    return [path for path in every if not only or path.stem.startswith(tuple(only))]


def parameters(path: Path) -> dict[str, Any]:
    """Names and default values in the cell tagged `parameters` of a notebook, in order; empty when it has no such cell.

    Raises:
        PaperlibError: the file is no notebook, or the cell holds something else than `name = literal`.
    """
    for cell in _read(path).cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return _literal_assignments(cell.source, path)
    return {}


def reading_minutes(path: Path) -> int:
    """How long reading a notebook takes: 200 words a minute of its text and of the sentences that it generates, 3 seconds a
    line of code, 20 seconds a picture or table. Folded parts are not read: `<details>`, cells tagged `solution` or
    `look-up`, and the code of those tagged `answer`.
    """
    words, seconds = 0, 0
    for cell in _read(path).cells:
        tags = cell.metadata.get("tags", [])
        if {"solution", "look-up"} & set(tags):
            continue
        if cell.cell_type == "markdown":
            words += _words(cell.source)
            continue
        if "answer" not in tags:
            seconds += _SECONDS_A_CODE_LINE * sum(bool(line.strip()) for line in cell.source.splitlines())
        for shown in (output.get("data", {}) for output in cell.outputs):
            words += _words(shown.get("text/markdown", ""))
            seconds += _SECONDS_A_PICTURE_OR_TABLE * any(kind.startswith(("image/", "text/html")) for kind in shown)
    return max(1, round(words / _WORDS_A_MINUTE + seconds / 60))


def _words(markdown: str) -> int:
    read = re.sub(r"<details>.*?</details>|\]\([^)]*\)|<[^>]+>", " ", markdown, flags=re.DOTALL)
    return sum(bool(re.search(r"\w", word)) for word in read.split())


def check_parameters(paths: Sequence[Path], settings: Sequence[str]) -> dict[Path, dict[str, Any]]:
    """Which values each notebook gets from `settings` like `"n_examples=4"`.

    A setting goes to every notebook that has the parameter. Values are read as Python literals and must fit the type of
    the default; text needs no quotation marks.

    Raises:
        PaperlibError: not of the form `name=value`, a name that no notebook has, or a value of another type.
    """
    known = {path: parameters(path) for path in paths}
    values: dict[Path, dict[str, Any]] = {path: {} for path in paths}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise PaperlibError(f"{setting!r} is no setting; write --set name=value")
        if name == "profile":
            raise PaperlibError("the profile is chosen with --profile NAME, not with --set")
        owners = [path for path in paths if name in known[path]]
        if not owners:
            raise PaperlibError(f"no notebook has a parameter {name!r}; {_valid_parameters(known)}")
        for path in owners:
            values[path][name] = _fitting_value(name, text.strip(), known[path][name], path.stem)
    return values


def run_notebooks(
    paths: Sequence[Path],
    output: Path,
    values: Mapping[Path, Mapping[str, Any]],
    environment: Mapping[str, str] | None = None,
    on_done: Callable[[NotebookRun], None] | None = None,
    workers: int = 1,
    made_of: str = "",
) -> list[NotebookRun]:
    """Execute notebooks in order and write the executed copies, `.ipynb` and `.html`, into `output`.

    The originals stay as they are. Every notebook has its own kernel of this very interpreter and works in its own
    folder, as in JupyterLab. One that fails keeps its outputs so far and the others still run. An interruption kills the
    kernels.

    Args:
        paths: the notebooks.
        output: folder of the executed copies; made when missing.
        values: per notebook, parameters that differ from the defaults.
        environment: variables for the kernels on top of this process' own.
        on_done: called after each notebook, from its thread.
        workers: how many notebooks run at a time.
        made_of: a digest of what the outputs hang on besides notebook, values and environment. With one, a notebook that
            ran to its end from the same of all these stays as it is.
    """
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in paths]

    def made(path: Path) -> NotebookRun:
        target, note = output / path.name, output / f"{path.stem}.made_of"
        page = target.with_suffix(".html")
        cells = repr([(cell.cell_type, cell.source, cell.metadata) for cell in _read(path).cells])
        given = [cells, repr(values.get(path, {})), repr(sorted((environment or {}).items())), *names, made_of]
        digest = hashlib.sha256("\n".join(given).encode()).hexdigest()
        known = note.read_bytes().split(b"\n") if made_of and note.is_file() else []
        if known[:1] == [digest.encode()] and target.is_file() and page.is_file():
            if known[1:] == [_fingerprint(target, page)]:
                return NotebookRun(path.stem, target, page, 0.0, unchanged=True)
            say(f"{target} or its page is damaged or was changed; the notebook is run again")
        note.unlink(missing_ok=True)
        run = _run_one(path, output, dict(values.get(path, {})), kernels)
        if not target.is_file():
            return run
        run = replace(run, html=write_html(target, names))
        if not run.error:
            with atomic_write(note) as file:
                file.write(digest.encode() + b"\n" + _fingerprint(target, page))
        return run

    def one(path: Path) -> NotebookRun:
        try:
            run = made(path)
        except OSError as error:
            if not (obstacle := in_the_way(error)):
                raise
            run = NotebookRun(path.stem, output / path.name, None, 0.0, f"{path.stem}: {obstacle}")
        if on_done:
            on_done(run)
        return run

    with _writable_jupyter_folders() as folder, ThreadPoolExecutor(workers) as pool:
        kernels = _Kernels(dict(environment or {}), folder)
        futures = [pool.submit(one, path) for path in paths]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kernels.kill()
            raise


def _fingerprint(*files: Path) -> bytes:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest().encode()


def write_html(notebook: Path, names: Sequence[str] = ()) -> Path:
    """Write `notebook` as a page beside it, pictures inside the page, links to the notebooks `names` turned to pages.

    Everything is in the file: formulas become MathML, which browsers render by themselves. Code cells
    tagged `solution` are folded, and of those tagged `answer` the outputs alone are shown.
    """
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    # embed_images would close every <details> of Markdown at once; pictures of outputs are inside the page without it
    exporter = HTMLExporter(require_js_url="", jquery_url="", raw_template=_PAGE)
    exporter.register_preprocessor(TagRemovePreprocessor(remove_input_tags={"answer"}), enabled=True)
    resources = {"metadata": {"name": notebook.stem, "path": str(notebook.parent)}}
    shown = _read(notebook)
    for output in chain.from_iterable(cell.get("outputs", []) for cell in shown.cells):
        _without_widgets(output)
    formulas = _take_formulas(shown)
    body, _ = exporter.from_notebook_node(shown, resources)
    body = re.sub(r"formula\d+taken", lambda match: formulas[match[0]], body)
    page = notebook.with_suffix(".html")
    with atomic_write(page, "w") as file:
        file.write(re.sub(rf'href="({"|".join(map(re.escape, names))})\.ipynb', r'href="\1.html', body) if names else body)
    return page


def _take_formulas(notebook: NotebookNode) -> dict[str, str]:
    """Put a mark in the place of every formula, which the Markdown reader leaves alone; mark -> MathML."""
    from latex2mathml.converter import convert

    taken: dict[str, str] = {}

    def marked(match: re.Match[str]) -> str:
        tex = match["display"] or match["inline"]
        if not tex:
            return match[0]
        mark = f"formula{len(taken)}taken"
        taken[mark] = convert(tex.strip(), display="block" if match["display"] else "inline")
        return mark

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _CODE_OR_FORMULA.sub(marked, cell.source)
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/markdown"):
                output["data"]["text/markdown"] = _CODE_OR_FORMULA.sub(marked, text)
    return taken


def promote(executed: Path, committed: Path) -> list[Path]:
    """Put the outputs of executed notebooks into the committed ones, without anything that changes from run to run.

    Sources, cell ids, tags and other cell metadata stay those of the committed notebook; execution counts run 1..n;
    injected parameters, run times, paths, versions and the error stream are left out. Either every notebook is promoted
    or none.

    Args:
        executed: folder with the executed copies of a plain run.
        committed: folder with the committed notebooks.

    Returns:
        The notebooks whose file changed.

    Raises:
        PaperlibError: an executed copy is missing, failed, or was made from another text.
    """
    texts = {path: _promoted_text(executed / path.name, path) for path in find(committed)}
    changed = [path for path, text in texts.items() if path.read_text("utf-8") != text]
    for path in changed:
        with atomic_write(path, "w") as file:
            file.write(texts[path])
    return changed


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise PaperlibError(f"there is no notebook {path}") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PaperlibError(f"{path} is not a readable notebook ({reason}); restore it with git checkout") from error


def _literal_assignments(source: str, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for statement in ast.parse(source).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = ast.literal_eval(value)
                case ast.Expr(value=ast.Constant()):
                    pass
                case _:
                    raise ValueError(ast.unparse(statement))
    except (SyntaxError, ValueError) as error:
        message = f"the parameters cell of {path.stem} may only hold lines like name = 3 ({error})"
        raise PaperlibError(message) from error
    return found


def _valid_parameters(known: Mapping[Path, Mapping[str, Any]]) -> str:
    lists = [
        f"{path.stem}: {', '.join(f'{name} = {value!r}' for name, value in defaults.items() if name != 'profile')}"
        for path, defaults in known.items()
        if set(defaults) - {"profile"}
    ]
    return "valid are\n  " + "\n  ".join(lists) if lists else "the chosen notebooks have none"


def _fitting_value(name: str, text: str, default: Any, notebook: str) -> Any:
    """`text` as a value of the default's type."""
    value = literal(text)
    if isinstance(default, str):
        return value if isinstance(value, str) else text
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        return type(default)(value)
    if default is not None and type(value) is not type(default):
        expected = f"a value of type {type(default).__name__} like {default!r}"
        raise PaperlibError(f"{name}={text} does not fit {notebook}: expected {expected}")
    return value


@contextmanager
def _writable_jupyter_folders() -> Iterator[Path]:
    """A folder for what kernels are told; Jupyter and IPython get it, too, where none of theirs is set, so that the home
    folder is never written."""
    names = ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    missing = [name for name in names if not os.environ.get(name)]
    with temporary_folder() as folder:
        os.environ.update(dict.fromkeys(missing, str(folder)))
        try:
            yield folder
        finally:
            for name in missing:
                os.environ.pop(name, None)


class _Kernels:
    """The kernels of one run: each is this interpreter, whatever kernel specs the user has installed as python3."""

    def __init__(self, environment: Mapping[str, str], told: Path) -> None:
        search_path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        inline = "module://matplotlib_inline.backend_inline"
        self.stopped = False
        self._told = told
        self._started: list[AsyncKernelManager] = []
        self._spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name=_KERNELSPEC["display_name"],
            language="python",
            env={"PYTHONPATH": search_path, "MPLBACKEND": inline, **environment},
        )

    def manager(self, folder: Path, messages: IO[bytes]) -> type[AsyncKernelManager]:
        """Managers of kernels that work in `folder`; what their processes write to the error stream goes to `messages`."""
        spec, started, told = self._spec, self._started, self._told

        class ThisInterpreter(AsyncKernelManager):
            @property
            def kernel_spec(self) -> KernelSpec:
                return spec

            async def start_kernel(  # type: ignore[override]  # its own base class is not asynchronous either
                self, **options: Any
            ) -> None:
                self.connection_file = str(told / f"{uuid4()}.json")  # by default one that outlives a kill
                await super().start_kernel(stderr=messages, cwd=str(folder), **options)
                started.append(self)

        return ThisInterpreter

    def kill(self) -> None:
        """End every kernel that still runs, and start none again."""
        self.stopped = True
        for manager in self._started:
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                process.kill()


def _run_one(path: Path, output: Path, values: dict[str, Any], kernels: _Kernels) -> NotebookRun:
    target = output / path.name
    log = target.with_suffix(".log")
    for stale in (target, target.with_suffix(".html"), log):
        stale.unlink(missing_ok=True)
    start = time.perf_counter()
    with log.open("wb") as messages:
        manager = kernels.manager(path.parent, messages)
        error = _execute(path, target, values, manager)
        if error and not _started_cells(target) and not kernels.stopped:  # its ports may have been taken meanwhile
            error = _execute(path, target, values, manager)
    if not log.stat().st_size:
        log.unlink()
    return NotebookRun(path.stem, target, None, time.perf_counter() - start, error)


def _execute(path: Path, target: Path, values: dict[str, Any], manager: type[AsyncKernelManager]) -> str | None:
    """Run one notebook with papermill; None, or one sentence on what failed."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            *(str(file).replace("{", "{{").replace("}", "}}") for file in (path, target)),
            parameters=values,
            kernel_name=_KERNELSPEC["name"],
            progress_bar=False,
            kernel_manager_class=manager,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
        return f"{path.stem}: cell [{error.exec_count}] failed with {reason}; its outputs so far are in {target}"
    except DeadKernelError:
        started = len(_started_cells(target))
        where = f"in cell {started}" if started else "before the first cell"
        return (
            f"{path.stem}: the kernel died {where} (killed, or out of memory); its outputs so far are in {target}, its "
            "last words, if any, in the .log beside it"
        )
    except RuntimeError as error:
        return f"{path.stem}: the kernel did not start ({error})"
    return None


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _started_cells(target: Path) -> list[NotebookNode]:
    """Code cells that a kernel took up; none when the kernel never came up."""
    if not target.is_file():
        return []
    return [cell for cell in _code_cells(_read(target)) if "execution" in cell.metadata]


def _promoted_text(executed: Path, committed: Path) -> str:
    advice = "run the notebooks again with `python -m paperlib run`"
    if not executed.is_file():
        raise PaperlibError(f"{committed.stem} has not been executed ({executed} is missing); {advice}")
    target, source = _read(committed), _read(executed)
    ours = [cell for cell in source.cells if not _added_by_papermill(cell)]
    if not _injected(source, executed).items() <= parameters(committed).items():
        raise PaperlibError(f"{committed.stem} was executed with other parameters than its own; {advice} without --set")
    if [(cell.cell_type, cell.source) for cell in ours] != [(cell.cell_type, cell.source) for cell in target.cells]:
        raise PaperlibError(f"{committed.stem} was changed after it was executed; {advice}")
    count = 0
    for cell, done in zip(target.cells, ours, strict=True):
        for key in _RUN_METADATA:
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        failed = done.execution_count is None or any(out.output_type == "error" for out in done.outputs)
        if cell.source.strip() and failed:
            raise PaperlibError(f"{committed.stem} did not run to its end; mend it, then {advice}")
        count += bool(cell.source.strip())
        cell.execution_count = count if cell.source.strip() else None
        kept = [out for out in done.outputs if out.get("name") != "stderr"]
        cell.outputs = [_stable_output(out, cell.execution_count) for out in kept]
    target.metadata = {
        **{key: value for key, value in target.metadata.items() if key not in (*_RUN_METADATA, "widgets")},
        "kernelspec": _KERNELSPEC,
        "language_info": _LANGUAGE,
    }
    return nbformat.writes(target) + "\n"


def _added_by_papermill(cell: NotebookNode) -> bool:
    return bool({"injected-parameters", "papermill-error-cell-tag"} & set(cell.metadata.get("tags", [])))


def _injected(notebook: NotebookNode, path: Path) -> dict[str, Any]:
    tagged = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    return {name: value for cell in tagged for name, value in _literal_assignments(cell.source, path).items()}


def _without_widgets(output: NotebookNode) -> NotebookNode:
    """A widget lives in its kernel alone; in a file its number changes with every run and there is nothing to show."""
    if "data" in output:
        output.data.pop("application/vnd.jupyter.widget-view+json", None)
    return output


def _stable_output(output: NotebookNode, count: int | None) -> NotebookNode:
    stable = _without_widgets(NotebookNode({key: value for key, value in output.items() if key != "transient"}))
    if "execution_count" in stable:
        stable.execution_count = count
    return stable
