"""Coded pictures and the scores of votes, for a terminal."""

from shlex import quote

from paperlib.datasets.sacid import TABLE
from paperlib.study.folder import OwnStudy
from paperlib.study.one_picture import CodedFiles
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
    return (
        "\n".join(
            [
                *lines,
                f"Next: let people fill the column choice of {study.pairs} "
                "(left, right or tie; take lines without an answer",
                "out), then",
                f"  python -m paperlib votes {pairs} --moses {table}",
                f"  python -m paperlib table 3 --profile own --data-root {folder}",
                str(study.folder),
            ]
        )
        + "\n"
    )


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
