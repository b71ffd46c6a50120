"""The command line: `python -m paperlib VERB`. Data goes to stdout, everything else to stderr.

Exit codes: 0 done; 1 a computation or a notebook failed; 2 wrong input, told in one sentence; 130 interrupted.
Only what is light is imported here at the top: whatever a verb needs, it imports itself.
"""

import argparse
import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paperlib import paths
from paperlib.errors import PaperlibError
from paperlib.settings import Settings, current, in_use

if TYPE_CHECKING:
    from paperlib.profiles import Profile
    from paperlib.show.summary import Run

_SHOWN_IN = {1: ("01", "03a"), 2: ("03b",)}
"""Figures, and the notebooks about them."""
_LAB_CONFIG = Path(__file__).with_name("show") / "jupyter"
"""JupyterLab's settings: it asks the network for nothing, and greets no class with a question about news."""


class Outcome(NamedTuple):
    """What a verb hands back: the text for stdout and the exit code."""

    text: str = ""
    code: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the words after `python -m paperlib`; those of this process when None.
    """
    interrupts = _Interrupts()
    try:
        code = _done(arguments, interrupts)
        interrupts.welcome = False
    except KeyboardInterrupt:
        interrupts.welcome = False
        print("\npaperlib: interrupted; finished results are kept, the same command goes on there", file=sys.stderr)
        code = 130
    finally:
        interrupts.restore()
    return code


def _done(arguments: Sequence[str] | None, interrupts: "_Interrupts") -> int:
    """The exit code of a command that was run, and whose outcome or failure was told.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, even where the code that it hit made another error of it, or nothing.
    """
    try:
        options = parsed(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with _messages_on_stderr(), in_use(_settings(options)):
            outcome = options.verb(options)
        if interrupts.pressed:
            raise KeyboardInterrupt
        _write(outcome.text)
        return outcome.code
    except Exception as error:
        if interrupts.pressed:
            raise KeyboardInterrupt from error
        if options.debug:
            traceback.print_exception(error)
        else:
            print(f"paperlib: {_sentence(error, options.results)}", file=sys.stderr)
        return error.exit_code if isinstance(error, PaperlibError) else 2 if paths.in_the_way(error) else 1


class _Interrupts:
    """Ctrl-C as one KeyboardInterrupt: presses that follow at once find the way out begun, and do not disturb it.

    Attributes:
        pressed: when it was raised last, in seconds of `time.monotonic`; 0 for never.
        welcome: whether it is to be raised at all; not when the exit code is settled.
    """

    _WAY_OUT = 3.0
    """Seconds that the way out may take before another press cuts it short."""
    _SOON = 0.02

    def __init__(self) -> None:
        self.pressed, self.welcome = 0.0, True
        self._hook, self._before = sys.unraisablehook, signal.getsignal(signal.SIGINT)
        if self._before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
            self._before = None  # a job in the background, or not ours to decide
            return
        sys.unraisablehook = self._unraisable
        signal.signal(signal.SIGINT, self._raise)

    def _raise(self, *_: object) -> None:
        now = time.monotonic()
        if self.welcome and now > self.pressed + self._WAY_OUT * bool(self.pressed):
            self.pressed = now
            raise KeyboardInterrupt

    def _unraisable(self, error: "sys.UnraisableHookArgs") -> None:
        """Raised where Python drops exceptions, as when an object is disposed of: again, a moment later."""
        if not issubclass(error.exc_type, KeyboardInterrupt):
            self._hook(error)
            return
        self.pressed = 0.0
        again = threading.Timer(self._SOON, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()

    def restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            sys.unraisablehook = self._hook


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the words mean; names of data may also stand behind options, where argparse does not look for them.

    Raises:
        SystemExit: words that mean nothing, after a sentence on stderr; or `--help`.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and hasattr(options, "names") and not any(word.startswith("-") for word in rest):
        options.names += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m paperlib",
        description="Runnable companion to 'Bridging the Gap Between Saliency Prediction and Image Quality "
        "Assessment' (arXiv 2405.04997).",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(
        name: str, function: Callable[[argparse.Namespace], Outcome], text: str, profile: str = "demo"
    ) -> argparse.ArgumentParser:
        description = text[0].upper() + text[1:] + "."
        added = verbs.add_parser(name, parents=[_common(profile)], help=text, description=description)
        added.set_defaults(verb=function)
        return added

    run = verb("run", _run, "compute all, write figures/, execute the notebooks, write the report, print a summary")
    repeated: dict[str, Any] = {"action": "append", "default": []}
    run.add_argument("--only", **repeated, metavar="PREFIX", help="only notebooks like 03a (repeatable)")
    run.add_argument("--set", **repeated, metavar="NAME=VALUE", help="a notebook parameter (repeatable)")
    prepare = verb("prepare", _prepare, "compute all that the profile needs, without notebooks")
    valued: dict[str, Any] = {**repeated, "metavar": "NAME=VALUE", "help": "a value of the profile (repeatable)"}
    prepare.add_argument("--set", **valued)
    table = verb("table", _table, "print Table I, II or III")
    table.add_argument("number", type=int, choices=(1, 2, 3))
    table.add_argument("--seeds", type=_count, metavar="N", help="number of repeats (default: the profile's)")
    kept: dict[str, Any] = {
        "dest": "rows",
        "action": "store_const",
        "const": "kept",
        "default": "computed",
        "help": "from the rows that this repository holds of the profile open, without its data",
    }
    table.add_argument("--kept", **kept)
    table.add_argument("--set", **valued)
    formats = table.add_mutually_exclusive_group()
    for name in ("csv", "json", "markdown", "latex"):
        formats.add_argument(f"--{name}", dest="format", action="store_const", const=name, default="text")
    figure = verb("figure", _figure, "draw Figure 1 or 2 and print where it was written")
    figure.add_argument("number", type=int, choices=(1, 2))
    figure.add_argument("--out", type=Path, metavar="DIR", help="folder for the files")
    figure.add_argument("--kept", **kept)
    figure.add_argument("--set", **valued)
    figure.add_argument("--json", action="store_true", help="print what the figure draws, write nothing")
    claims = verb("claims", _claims, "test the claims of the paper")
    claims.add_argument("--seeds", type=_count, metavar="N", help="number of repeats (default: the profile's)")
    claims.add_argument("--kept", **kept)
    claims.add_argument("--set", **valued)
    claims.add_argument("--json", action="store_true", help="value, interval, n, verdict and controls per claim")
    sensitivity = verb("sensitivity", _sensitivity, "what hangs on the saliency loss and its weight, in the micro-world")
    sensitivity.add_argument("--seeds", type=_count, metavar="N", help="number of repeats (default: 2)")
    sensitivity.add_argument("--save", action="store_true", help="write sensitivity.csv and sensitivity.md, which 03c shows")
    sacid = verb("sacid", _sacid, "print what SACID's subjective scores say about bit-rate and preset alone")
    sacid.add_argument("--scores", type=Path, required=True, metavar="FILE", help="table of scores, such as moses.csv")
    sacid.add_argument("--json", action="store_true", help="bitrate_only, preset_order and preset_means")
    code = verb("code", _code, "code a picture or a folder of your own, with most of the bits where people look")
    code.add_argument(
        "image",
        type=Path,
        metavar="IMAGE",
        help="picture of any common type and size; of a folder of "
        "pictures a data set like SACID is made, with the paper's presets and a schedule of pairs",
    )
    code.add_argument(
        "--bpp",
        type=_rates,
        required=True,
        metavar="X",
        help="bits per pixel to reach, such as 0.12; of a folder one or more, such as 0.08,0.12,0.16",
    )
    code.add_argument(
        "--saliency",
        metavar="MAP",
        help="picture of a saliency map, or center for a centre prior; "
        "plain coding without it; for a folder a folder of maps, or center",
    )
    code.add_argument("--s0", type=float, metavar="P", help="the salient part lies above this percentile (default: 75)")
    code.add_argument("--share", type=float, metavar="P", help="per cent of the bits for that part (default: 80)")
    code.add_argument("--preset", default="medium", metavar="NAME", help="x264 preset up to slower (default: medium)")
    code.add_argument(
        "--assessors",
        type=_count,
        metavar="N",
        help="of a folder: how many the pairs are for (default: as many as give 9 votes per pair)",
    )
    code.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: coded/ in the results)")
    code.add_argument("--json", action="store_true", help="print the record that is written beside the picture")
    look = verb("look", _look, "score a picture of your own, and show its saliency map and its GradCAM, offline")
    look.add_argument("image", type=Path, metavar="PICTURE", help="picture of any common type and size")
    look.add_argument("--out", type=Path, metavar="DIR", help="folder for the figure (default: looked/ in the results)")
    look.add_argument("--json", action="store_true", help="picture, figure, score and notes")
    votes = verb("votes", _votes, "print scores from your own pairwise votes")
    votes.add_argument("file", type=Path, metavar="FILE", help="columns image, left, right, choice, assessor")
    votes.add_argument(
        "--virtual-wins", type=float, default=0.1, metavar="X", help="added to every ordered pair of versions (default: 0.1)"
    )
    votes.add_argument("--moses", type=Path, metavar="OUT.csv", help="write the scores as a table like SACID's, too")
    votes.add_argument("--force", action="store_true", help="replace that table whoever wrote it")
    votes.add_argument("--json", action="store_true", help="scores and standard errors per image, counts and notes")
    example = verb("example", _example, "write a folder of data as your own could be, and say what to do with it", "own")
    example.add_argument("folder", type=Path, metavar="DIR", help="new or empty folder")
    example.add_argument("--json", action="store_true", help="files, what is simulated, and commands to go on with")
    export = verb("export", _export, "write the trained Baselines of Table II as weights for Table I and Figure 2")
    export.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: the folder of weights)")
    cost = verb(
        "cost", _cost, "estimate what the tables cost on this device, from short measurements, without data", "paper"
    )
    cost.add_argument("--tflops", type=_speed, metavar="X", help="estimate for a device that sustains X TFLOP/s, too")
    cost.add_argument("--json", action="store_true", help="all counts and measurements")
    cost.add_argument("--save", action="store_true", help="for maintainers: keep the measurement for README in figures/")
    data = verb("data", _data, "say which data sets and weights are there, get those that are missing, check them", "paper")
    data.add_argument(
        "task",
        choices=("status", "fetch", "verify", "where"),
        help="status: what is there (exit code 0: all); "
        "fetch: get what is missing; verify: read everything; where: folders and places",
    )
    data.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data sets, files of weights or methods (default: all that the profile needs)",
    )
    data.add_argument("--json", action="store_true", help="condition, fingerprint, size, terms and source of each")
    store = verb("store", _store, "say what lies in the folder of results, or remove what no run needs", "all")
    store.add_argument("task", choices=("ls", "clean"), help="ls: what is there; clean: remove what is left over")
    levels = store.add_mutually_exclusive_group()
    for level, what in {
        "quick": "clean also what is made again in seconds, such as the micro-worlds",
        "all": "clean also what runs need, and can make again",
        "everything": "clean also what can perhaps not be made again; files of yours stay",
    }.items():
        levels.add_argument(f"--{level}", dest="level", action="store_const", const=level, default="", help=what)
    store.add_argument("--dry-run", action="store_true", help="say what clean would remove, remove nothing")
    store.add_argument("--json", action="store_true", help="place, name, state, count, size in bytes and seconds")
    bench = verb("bench", _bench, "time our functions beside those of peer libraries")
    bench.add_argument("--json", action="store_true", help="name, peer, ratio, goal and met per benchmark")
    lab = verb("lab", _lab, "open JupyterLab, for this machine only, at the first notebook")
    lab.add_argument("--port", type=_port, help="port to listen on (default: the first free one from 8888)")
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    verb("promote", _promote, "for maintainers: put the outputs of the last demo run into notebooks/")
    verb("readme", _readme, "for maintainers: rewrite the generated parts of README.md, and DATA.md")
    verb("ship", _ship, "for maintainers: put the networks of a trained profile into the package", "open")
    pretrain = verb("pretrain", _pretrain, "for maintainers: remake the tiny backbone that ships with the demo")
    for name, kind in (("images", _count), ("epochs", _count), ("seed", int), ("out", Path)):
        pretrain.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS)
    return parser


def _common(profile: str) -> argparse.ArgumentParser:
    """Options of every verb."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--profile", default=profile, metavar="NAME", help=f"size and data of the run (default: {profile})")
    common.add_argument("--results", type=Path, metavar="DIR", help="folder of computed results (default: results/)")
    common.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data sets (profiles paper and own)")
    common.add_argument(
        "--extent",
        metavar="HOW",
        help="how much of each set of the profile open: sample (default), all, or found, what is there",
    )
    common.add_argument(
        "--input-size",
        metavar="WIDTHxHEIGHT",
        help="size at which IQA networks see pictures, or whole for that of each (default: the profile's)",
    )
    common.add_argument("--weights", type=Path, metavar="DIR", help="folder of weights (default: weights/ in the data root)")
    common.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME[@LAYER][=FILE]",
        help="an IQA network of your own beside the profile's (repeatable)",
    )
    common.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="compute on a Ray cluster: HOST:PORT, auto (the one of this machine) or local",
    )
    common.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    return common


def _count(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return number


def _rates(text: str) -> list[float]:
    try:
        rates = [float(rate) for rate in text.split(",")]
    except ValueError:
        rates = []
    if not rates or (len(rates) > 1 and min(rates) <= 0):
        message = f"expected bits per pixel such as 0.12 or 0.08,0.12,0.16, decimals with a point, got {text}"
        raise argparse.ArgumentTypeError(message)
    return rates


def _port(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if not 0 < number < 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {2**16 - 1}, got {text!r}")
    return number


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a speed above 0, got {text!r}")
    return number


def _settings(options: argparse.Namespace) -> Settings:
    """What the environment says, and the command line instead of it."""
    given: dict[str, Any] = {"results_root": options.results.resolve()} if options.results else {}
    for name, folder in (("data_root", options.data_root), ("weights_root", options.weights)):
        if folder:
            if not folder.is_dir():
                raise PaperlibError(f"there is no folder {folder}")
            given[name] = folder.resolve()
    given |= {name: value for name in ("ray_address", "extent", "input_size") if (value := getattr(options, name))}
    settings = replace(Settings.from_environment(), **given)
    if options.model:
        folders = tuple(filter(None, (Path.cwd(), settings.data_root)))
        settings = replace(settings, models=tuple(map(_with_whole_path, options.model)), model_path=folders)
    return settings


def _with_whole_path(model: str) -> str:
    """A text of `--model` that means the same file in the kernels, which run elsewhere."""
    name, equals, file = model.partition("=")
    return f"{name}{equals}{Path(file).expanduser().resolve()}" if file else model


def _run(options: argparse.Namespace) -> Outcome:
    from paperlib.profiles import names

    profile = _profile(options)
    from paperlib.show import notebooks

    only = options.only or _with_data(profile)
    chosen = notebooks.find(paths.NOTEBOOKS, only)
    _require_sections(profile, chosen)
    values = notebooks.check_parameters(chosen, options.set)
    known = names(profile)
    overrides = {name: value for given in values.values() for name, value in given.items() if name in known}
    profile = _profile(options, **overrides)
    root = profile.store_root / "custom" if options.set else profile.store_root
    folder = _figures_folder(profile, custom=bool(options.set))
    for needed in (root, folder):
        _require_writable(needed)
    of_profile = names(profile) | {"profile": profile.name}
    for path in chosen:
        defaults = notebooks.parameters(path)
        differing = {
            name: of_profile[name] for name in defaults.keys() & of_profile.keys() if defaults[name] != of_profile[name]
        }
        values[path] = differing | values[path]

    from paperlib import regenerate
    from paperlib.engine.progress import say
    from paperlib.show.report import kept_runs, write_report
    from paperlib.show.summary import Run, text_summary

    run = Run(profile.name, profile.evidence, settings=tuple(options.set), values=names(profile))
    with _peak_memory(run):
        _compute(run, profile, folder, only)
        with run.timed("notebooks"):
            stored = profile.evidence == "simulation" and not options.set  # others compute, and may share one GPU
            run.notebooks = notebooks.run_notebooks(
                chosen,
                root / "notebooks",
                values,
                replace(current(), figures_root=folder, quiet=True).environment(),
                on_done=lambda done: say(str(done)),
                workers=2 if stored else 1,
                made_of=regenerate.made_of(profile) if profile.rows == "computed" else "",
            )
    report = write_report(run, root / "report", kept_runs() if run.evidence == "simulation" else ())
    return Outcome(text_summary(run, report), 1 if run.failures else 0)


def _with_data(profile: "Profile") -> list[str]:
    """The notebooks that the data at hand can fill, where a profile may leave some out. Empty: all."""
    from paperlib.experiments.available import with_data

    return with_data(profile) if profile.optional else []


def _require_sections(profile: "Profile", notebooks: Sequence[Path]) -> None:
    """A profile that has not all sections runs the notebooks of those that it has."""
    from paperlib.regenerate import SECTIONS

    partial = not {section.notebook for section in SECTIONS.values()} <= set(profile.sections)
    if partial and any(not path.stem.startswith(profile.sections) for path in notebooks):
        runs = " ".join(f"--only {section}" for section in profile.sections)
        raise PaperlibError(f"profile {profile.name!r} does not fill every notebook yet; start it with {runs}")


def _compute(run: "Run", profile: "Profile", folder: Path, only: Sequence[str]) -> None:
    """Compute and write what the chosen notebooks are about; everything, the claims as well, when none were chosen."""
    from paperlib import regenerate
    from paperlib.engine.progress import say
    from paperlib.experiments.sets import noted
    from paperlib.show import report, summary

    sections = regenerate.SECTIONS.values()
    if not only:
        with run.timed("computing"):
            regenerate.prepare(profile)
    with run.timed("tables and figures"):
        for section in sections:
            if section.table and _about(section.notebook, only):
                say(f"Table {section.table}")
                run.artefacts.append(report.write_table(section.table, profile, folder))
        for number, notebooks in _SHOWN_IN.items():
            if any(_about(notebook, only) for notebook in notebooks):
                say(f"Figure {number}")
                run.artefacts.append(report.write_figure(number, profile, folder))
        discussed = _about("04", only)
        about = [one for one in sections if discussed or _about(one.notebook, only)]
        run.claims = regenerate.claims(profile, [one.claim for one in about])
        if len(about) == len(sections):
            summary.save_claims(run.claims, folder)
        regenerate.keep_rows(profile, [one.package for one in about], folder)
    run.read = noted.found(profile.data_root)


def _about(notebook: str, only: Sequence[str]) -> bool:
    """Whether `--only` names the notebook that starts with `notebook`."""
    return not only or any(notebook.startswith(prefix) or prefix.startswith(notebook) for prefix in only)


def _prepare(options: argparse.Namespace) -> Outcome:
    from paperlib.profiles import read_values
    from paperlib.regenerate import prepare

    profile = _profile(options, **read_values(options.set))
    _require_writable(profile.store_root)
    prepare(profile)
    return _listed([profile.store_root])


def _table(options: argparse.Namespace) -> Outcome:
    profile = _changed_profile(options)
    from paperlib import regenerate
    from paperlib.experiments.sets import noted
    from paperlib.show import tables
    from paperlib.show.summary import to_json

    data = regenerate.table(options.number, profile)
    if options.format == "json":
        read = noted.found(profile.data_root)
        return Outcome(to_json(vars(data) | ({"read": read} if read else {})))
    formats: dict[str, Callable[[Any], str]]
    formats = {"csv": tables.to_csv, "markdown": tables.to_markdown, "latex": tables.to_latex}
    return Outcome(formats.get(options.format, tables.to_text)(data))


def _figure(options: argparse.Namespace) -> Outcome:
    profile = _changed_profile(options)
    folder = (options.out or _figures_folder(profile, custom=bool(options.set))).resolve()
    if not options.json:
        _require_writable(folder, "the option --out")
    from paperlib import regenerate
    from paperlib.show.report import write_figure
    from paperlib.show.summary import to_json

    if options.json:
        return Outcome(to_json(regenerate.figure(options.number, profile), indent=None))
    return _listed(write_figure(options.number, profile, folder).files)


def _claims(options: argparse.Namespace) -> Outcome:
    profile = _changed_profile(options)
    from paperlib import regenerate
    from paperlib.show import summary

    claims = regenerate.claims(profile)
    return _told(options, claims, summary.claims_text(claims))


def _sensitivity(options: argparse.Namespace) -> Outcome:
    profile = _profile(options)
    folder = _figures_folder(profile)
    if options.save:
        _require_writable(folder)
    from paperlib.show import sensitivity
    from paperlib.tasks.sensitivity import measure

    table = measure(profile, options.seeds)
    if options.save:
        _say_written(sensitivity.save(table, folder))
    return Outcome(sensitivity.readable(table).to_string(index=False))


def _sacid(options: argparse.Namespace) -> Outcome:
    from paperlib.datasets.sacid import read_scores
    from paperlib.show.study_text import sacid_text
    from paperlib.study.sacid_scores import analyse

    found = analyse(read_scores(options.scores))
    return _told(options, found, sacid_text(found))


def _code(options: argparse.Namespace) -> Outcome:
    given = {name: getattr(options, name) for name in ("s0", "share") if getattr(options, name) is not None}
    if given and options.saliency is None:
        raise PaperlibError("--s0 and --share say what to do with a saliency map; add --saliency MAP or center")
    if options.image.is_dir():
        return _code_folder(options, given)
    if len(options.bpp) > 1 or options.assessors:
        raise PaperlibError(f"more than one --bpp, and --assessors, are for a folder of pictures; {options.image} is none")
    from paperlib.show.study_text import coded_text
    from paperlib.study.one_picture import code_file

    folder = options.out or paths.results_root() / "coded"
    given |= {"preset": options.preset, "out": folder.resolve()}
    coded = code_file(options.image, options.saliency, options.bpp[0], **given)
    return _told(options, coded.record, coded_text(coded))


def _code_folder(options: argparse.Namespace, given: Mapping[str, float]) -> Outcome:
    if given:
        raise PaperlibError("a folder is coded with the paper's three presets; leave --s0 and --share out")
    if options.saliency is None:
        raise PaperlibError("a folder of pictures needs --saliency FOLDER with a map for each, or --saliency center")
    from paperlib.show.study_text import study_text
    from paperlib.study.folder import code_folder

    out = (options.out or paths.results_root() / "coded" / options.image.resolve().name).resolve()
    study = code_folder(options.image, options.saliency, options.bpp, out, options.preset, options.assessors)
    return _told(options, study.record, study_text(study))


def _look(options: argparse.Namespace) -> Outcome:
    from paperlib.show.look import look_at_file

    told = look_at_file(options.image, (options.out or paths.results_root() / "looked").resolve())
    lines = [
        f"{told['picture']}: score {told['score']:.2f} (about 0 to 1, higher is better)",
        *told["notes"],
        told["figure"],
    ]
    return _told(options, told, "\n".join(lines))


def _ship(options: argparse.Namespace) -> Outcome:
    from paperlib.tasks.ship import ship

    return _listed(ship(_profile(options)))


def _votes(options: argparse.Namespace) -> Outcome:
    from paperlib.datasets.votes_table import read_votes
    from paperlib.show.study_text import votes_text
    from paperlib.study.votes import score_votes, write_moses

    found = score_votes(read_votes(options.file), options.virtual_wins)
    if options.moses:
        _say_written(write_moses(found, options.moses.absolute(), options.force))
    return _told(options, found, votes_text(found))


def _example(options: argparse.Namespace) -> Outcome:
    from paperlib.show.study_text import example_json, example_text
    from paperlib.study.example import write_example

    example = write_example(options.folder.resolve())
    return _told(options, example_json(example), example_text(example))


def _export(options: argparse.Namespace) -> Outcome:
    from paperlib.tasks.export import export_baselines

    folder = options.out.resolve() if options.out else None
    return _listed(export_baselines(_profile(options), folder))


def _cost(options: argparse.Namespace) -> Outcome:
    profile = _profile(options)
    file = paths.figures_root() / "cost.json"
    if options.save:
        _require_writable(file.parent)
    from paperlib.show.cost import cost_text
    from paperlib.show.summary import to_json
    from paperlib.tasks.cost import estimate

    cost = estimate(profile)
    if options.save:
        with paths.atomic_write(file, "w") as stream:
            stream.write(to_json(cost))
        _say_written([file])
    return _told(options, cost, cost_text(cost, options.tflops))


def _data(options: argparse.Namespace) -> Outcome:
    profile = _profile(options)
    from paperlib.show import data_text

    if sentence := data_text.own_supply(profile, options.names):
        return Outcome(data_text.status_json([], profile, True) if options.json else sentence)
    if options.task == "fetch":
        from paperlib.supply.fetch import fetch

        outcomes = fetch(profile, options.names)
        text = (data_text.fetch_json if options.json else data_text.fetch_text)(outcomes, profile)
        return Outcome(text, 0 if all(one.found.is_there for one in outcomes) else 1)
    from paperlib.supply.catalogue import chosen_items
    from paperlib.supply.state import look_at, look_at_own

    found = look_at(profile, chosen_items(profile, options.names), thorough=options.task == "verify")
    own = profile.name == "own" and not options.names
    usable, notes = look_at_own(profile, thorough=options.task == "verify") if own else (True, [])
    ready = usable and all(one.is_there for one in found)
    code = 0 if ready or options.task == "where" else 1
    if options.json:
        return Outcome(data_text.status_json(found, profile, ready, notes), code)
    told = data_text.where_text if options.task == "where" else data_text.status_text
    return Outcome(told(found, profile, notes), code)


def _store(options: argparse.Namespace) -> Outcome:
    from paperlib.show import storage_text
    from paperlib.tasks import storage

    items, sentences = storage.look([] if options.profile == "all" else [options.profile])
    if options.task == "ls":
        if options.level or options.dry_run:
            raise PaperlibError("--quick, --all, --everything and --dry-run belong to `store clean`; leave them out of ls")
        return _told(options, storage_text.rows(items), storage_text.ls_text(items, sentences))
    states = storage.REMOVED[options.level]
    gone = [item for item in items if item.state in states] if options.dry_run else storage.clean(items, states)
    kept = [item for item in items if item not in gone]
    return _told(options, storage_text.rows(gone), storage_text.clean_text(gone, kept, sentences, options.dry_run))


def _bench(options: argparse.Namespace) -> Outcome:
    sys.path.insert(0, str(paths.REPOSITORY))
    try:
        from tests.benchmarks import run_all
    except ModuleNotFoundError as error:
        message = f"the benchmarks need {error.name}; install the test extra: pip install -e '.[test]'"
        raise PaperlibError(message) from error
    from paperlib.show.summary import bench_text

    rows = run_all()
    return _told(options, rows, bench_text(rows))


def _lab(options: argparse.Namespace) -> Outcome:
    first = paths.NOTEBOOKS / "00_start_here.ipynb"
    if not first.is_file():
        raise PaperlibError(f"there is no notebook {first}; is the checkout complete?")
    if options.port is not None:
        _require_free(options.port)
    unseen = _without_display()
    if unseen and not options.no_browser:
        print("paperlib: there is no display here; open the address below in a browser", file=sys.stderr)
    home = first.parent.parent
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={home}"]
    command += [f"--ServerApp.port={options.port}"] * (options.port is not None)
    command += ["--no-browser"] * (options.no_browser or unseen)
    command += ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    command += [f"--LabApp.default_url=/lab/tree/{first.relative_to(home).as_posix()}"]
    search_path = os.pathsep.join(filter(None, (str(paths.REPOSITORY), os.environ.get("PYTHONPATH"))))
    config = os.pathsep.join(filter(None, (os.environ.get("JUPYTER_CONFIG_PATH"), str(_LAB_CONFIG))))
    environment = os.environ | current().environment()
    environment |= {"PYTHONPATH": search_path, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_PATH": config}
    os.execve(sys.executable, command, environment)


def _require_free(port: int) -> None:
    """Raises PaperlibError where nothing can listen on this port: Jupyter would take another one in silence."""
    import socket

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            advice = "choose another, or leave --port out to take the first free one"
            raise PaperlibError(f"cannot listen on port {port} ({error.strerror}); {advice}") from error


def _without_display() -> bool:
    """Whether a browser could open in this terminal alone, where it would hide the server's messages."""
    return sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))


def _promote(options: argparse.Namespace) -> Outcome:
    if options.profile != "demo":
        raise PaperlibError(f"notebooks/ holds outputs of the demo profile, not of {options.profile!r}")
    from paperlib.show.notebooks import promote

    return _listed(promote(_profile(options).store_root / "notebooks", paths.NOTEBOOKS))


def _readme(options: argparse.Namespace) -> Outcome:
    from paperlib.show.data_text import data_md
    from paperlib.show.summary import rewrite_readme

    readme, data = paths.REPOSITORY / "README.md", paths.REPOSITORY / "DATA.md"
    old = {path: path.read_text("utf-8") if path.is_file() else "" for path in (readme, data)}
    new = {readme: rewrite_readme(old[readme], paths.FIGURES), data: data_md()}
    changed = [path for path in new if new[path] != old[path]]
    for path in changed:
        with paths.atomic_write(path, "w") as file:
            file.write(new[path])
    return _listed(changed)


def _pretrain(options: argparse.Namespace) -> Outcome:
    from paperlib.tasks.pretrain import pretrain_command

    names = ("images", "epochs", "seed", "out")
    accuracy = pretrain_command(**{name: getattr(options, name) for name in names if hasattr(options, name)})
    return Outcome(f"accuracy {accuracy:.3f}\n")


def _profile(options: argparse.Namespace, **overrides: object) -> "Profile":
    from paperlib.profiles import load

    profile = load(options.profile, **overrides)
    wanted = ("data_root", "extent", "input_size", "weights", "model")
    given = [f"--{name.replace('_', '-')}" for name in wanted if getattr(options, name)]
    if given and profile.evidence == "simulation":
        raise PaperlibError(
            f"{' and '.join(given)} would change nothing: the profile {profile.name!r} makes its own pictures; add "
            "--profile own for your data, or another profile"
        )
    return profile


def _told(options: argparse.Namespace, found: Any, text: str) -> Outcome:
    """What was found as JSON, where the user asks for it, else the text."""
    from paperlib.show.summary import to_json

    return Outcome(to_json(found) if options.json else text)


def _listed(files: Iterable[Path]) -> Outcome:
    """Files, one a line."""
    return Outcome("".join(f"{file}\n" for file in files))


def _say_written(files: Iterable[Path]) -> None:
    from paperlib.engine.progress import say

    for file in files:
        say(f"wrote {file}")


def _changed_profile(options: argparse.Namespace) -> "Profile":
    """The profile with what `--kept`, `--seeds` and `--set` of `options` change."""
    from paperlib.profiles import read_values

    values = read_values(options.set) | {"rows": options.rows}
    if seeds := getattr(options, "seeds", None):
        values["seeds"] = seeds
    return _profile(options, **values)


def _figures_folder(profile: "Profile", custom: bool = False) -> Path:
    """figures/ belongs to plain profiles that keep theirs there; every other run writes beside its own results."""
    from paperlib.profiles import PROFILES, changed

    if custom:
        return profile.store_root / "custom" / "figures"
    if profile.kept is not None and not changed(profile, PROFILES[profile.name]):
        return paths.figures_root() / profile.kept
    return paths.figures_root() if current().figures_root else profile.store_root / "figures"


def _require_writable(folder: Path, instead: str = "--results DIR (results) or PAPERLIB_FIGURES=DIR (figures)") -> None:
    with paths.writing_to(folder, f"choose another folder with {instead}"):
        paths.make_writable(folder)


@contextmanager
def _peak_memory(run: "Run") -> Iterator[None]:
    """Watch the resident memory of this process and all its children; the largest sum goes to `run.peak_memory`."""
    from threading import Event, Thread

    import psutil

    this, done = psutil.Process(), Event()

    def watch() -> None:
        while not done.wait(0.5):
            total = 0
            for process in (this, *this.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            run.peak_memory = max(run.peak_memory, total)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """Whatever is printed inside, by libraries, native code or child processes, goes to stderr."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    saved = None
    with suppress(OSError):  # a closed stdout or stderr: nothing to keep clean
        saved = os.dup(1)
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _write(text: str) -> None:
    """Print data to stdout; a reader that has had enough, like `head`, is no error."""
    if not text or sys.stdout is None:  # None: started with a closed stdout
        return
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's own flush at its end has somewhere to go
        if not isinstance(error, BrokenPipeError):
            raise


def _sentence(error: Exception, results: Path | None) -> str:
    """What the user reads of an error; one that nobody foresaw leaves its traceback in a file."""
    if isinstance(error, PaperlibError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, then start the same command again: finished results are kept"
    if obstacle := paths.in_the_way(error):
        return obstacle
    reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return f"stopped by an unexpected error ({reason}); the traceback is in {_save_traceback(error, results)}"


def _save_traceback(error: Exception, results: Path | None) -> Path | str:
    from tempfile import gettempdir

    text = "".join(traceback.format_exception(error))
    name = f"paperlib-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in ((results or paths.results_root()).resolve() / "logs", Path(gettempdir())):
        with suppress(OSError), paths.atomic_write(folder / name, "w") as file:
            file.write(text)
            return folder / name
    return "no file, since none could be written; --debug shows it"
