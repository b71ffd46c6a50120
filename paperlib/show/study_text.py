"""What the verbs on pictures and votes of one's own print: coded pictures, scores, the worked example, SACID's scores."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from paperlib.datasets.sacid import TABLE

if TYPE_CHECKING:
    from paperlib.study.example import Example
    from paperlib.study.folder import OwnStudy
    from paperlib.study.one_picture import CodedFiles
    from paperlib.study.sacid_scores import SacidScores
    from paperlib.study.votes import VoteScores


def coded_text(files: CodedFiles) -> str:
    """What was asked and got, notes, and where the files are."""
    told, qp = files.record, files.record["qp"]
    lines = [f"bit-rate  {told['bpp']['achieved']:.4f} bpp, asked {told['bpp']['asked']:g} (CRF {told['crf']:.2f})"]
    if share := told["share"]:
        wished = f"asked {share['asked']:.1%}, plain {share['plain']:.1%}"
        lines.append(f"share     {share['achieved']:.1%} of the predicted bits, {wished}")
    lines.append(
        f"QP        {qp['lowest']} to {qp['highest']}; {qp['transmit_none_or_within_one']:.1%} of {qp['macroblocks']} "
        "macroblocks have the asked QP to one step, or none of their own"
    )
    lines += [f"note      {note}" for note in told["notes"]]
    return "\n".join([*lines, *map(str, (files.picture, files.stream, files.json))]) + "\n"


def study_text(study: OwnStudy) -> str:
    """What was coded and left out, and how to go on."""
    count = len(study.photographs) * len(study.versions)
    made = f"{count} pictures of {len(study.photographs)} photographs, {study.fresh} coded now"
    lines = [f"{made}; {study.assessors} assessors"]
    lines += [f"left out  {name}: {reason}" for name, reason in study.left_out.items()]
    lines += [f"note      {note}" for note in study.notes]
    pairs, folder, table = (quote(str(path)) for path in (study.pairs, study.folder, study.folder / TABLE))
    lines += [
        f"Next: let people fill the column choice of {study.pairs} (left, right or tie; take lines without an answer",
        "out), then",
        f"  python -m paperlib votes {pairs} --moses {table}",
        f"  python -m paperlib table 3 --profile own --data-root {folder}",
        str(study.folder),
    ]
    return "\n".join(lines) + "\n"


def votes_text(found: VoteScores) -> str:
    """How many votes count, whom the verification pairs exclude, and the scores per photograph, best first."""
    counts = f"{found['counted']} of {found['votes']} votes count, {found['ties']} of them ties"
    checks = f"{found['verifications']} were verifications"
    excluded = f": {', '.join(found['excluded'])}" if found["excluded"] else ""
    lines = [
        f"{counts}; {checks}; {found['virtual_wins']:g} virtual wins per ordered pair",
        f"{len(found['excluded'])} of {found['assessors']} assessors excluded{excluded}",
    ]
    for name, image in found["images"].items():
        lines += ["", f"{name} ({image['votes']} votes)", f"{'score':>8}  {'s.e.':>6}  version"]
        best_first = sorted(image["scores"].items(), key=lambda item: -item[1]["score"])
        lines += [f"{one['score']:8.3f}  {one['standard_error']:6.3f}  {version}" for version, one in best_first]
    lines += [f"\nnote: {note}" for note in found["notes"]]
    return "\n".join(lines) + "\n"


def example_text(example: Example) -> str:
    """What lies in the folder, what of it is simulated, and what to do with it."""
    told = example_json(example)
    done = "written" if example.fresh else "there already, as it was written"
    coded = f"{len(example.photographs)} photographs coded and voted on"
    lines = [f"{example.images} pictures with fixations and opinions, {coded}: {done}"]
    lines += [f"simulated  {sentence}" for sentence in told["simulated"]]
    lines += ["Next:", *(f"  {command}" for command in told["commands"]), told["folder"]]
    return "\n".join(lines) + "\n"


def example_json(example: Example) -> dict[str, Any]:
    """The same, as plain values."""
    from paperlib.study.example import COMMANDS, MODEL, SIMULATED

    folder = quote(str(example.folder))
    return {
        "folder": str(example.folder),
        "written": example.fresh,
        "images": example.images,
        "photographs": list(example.photographs),
        "files": list(example.files),
        "simulated": list(SIMULATED),
        "commands": [f"./run_all.sh {words.format(folder=folder, model=MODEL)}" for words in COMMANDS],
    }


def sacid_text(found: SacidScores) -> str:
    """Agreement of bit-rate and preset with the scores, and the presets' means, as a few lines of text."""
    rate, order = found["bitrate_only"], found["preset_order"]
    fraccp = _with_interval(order["fraccp"], order["fraccp_interval"])
    presets = list(dict.fromkeys(preset for means in found["preset_means"].values() for preset in means))
    lines = [
        f"{found['images']} sequences with {found['versions']} versions; 95 % bootstrap intervals over sequences",
        "",
        f"bit-rate alone   SROCC   {_with_interval(rate['srocc'], rate['srocc_interval'])}",
        f"                 PLCC    {_with_interval(rate['plcc'], rate['plcc_interval'])}",
        f"preset order     FracCP  {fraccp}  {order['groups']} groups, {' < '.join(order['order'])}",
        "",
        "mean score  " + "".join(f"{preset:>8}" for preset in presets),
    ]
    for bits, means in found["preset_means"].items():
        lines.append(f"{int(bits) / 100:>7.2f} bpp " + "".join(f"{means[preset]:8.3f}" for preset in presets))
    return "\n".join(lines) + "\n"


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.4f}  [{interval[0]:.4f}, {interval[1]:.4f}]"
