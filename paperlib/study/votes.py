"""Scores from a user's own votes: the exclusion rule, Bradley-Terry per photograph, and what the votes cannot tell."""

import warnings
from pathlib import Path
from typing import TypedDict

import numpy as np

from paperlib.coding.votes import (
    TIE,
    VIRTUAL_WINS,
    BradleyTerry,
    ConnectivityWarning,
    Schedule,
    attentive,
    bradley_terry,
    count_wins,
    counted,
)
from paperlib.datasets.files import listing
from paperlib.datasets.sacid import COLUMNS, Version
from paperlib.datasets.votes_table import VotesTable
from paperlib.errors import PaperlibError
from paperlib.study.files import csv_text, record_by, sealed, sha256, write

_MAKER = "python -m paperlib votes"


class Score(TypedDict):
    """Natural logarithm of the odds against the worst version of the photograph, and its standard error."""

    score: float
    standard_error: float


class ImageScores(TypedDict):
    """One photograph: counted votes, whether all its versions were compared, if through third ones, and the scores."""

    votes: int
    connected: bool
    scores: dict[str, Score]


class VoteScores(TypedDict):
    """A table of votes, judged.

    `counted` votes are those of attentive assessors on pairs that are no verification; `ties` are among them.
    """

    votes: int
    counted: int
    ties: int
    verifications: int
    assessors: int
    excluded: list[str]
    virtual_wins: float
    images: dict[str, ImageScores]
    notes: list[str]


def score_votes(table: VotesTable, virtual_wins: float = VIRTUAL_WINS) -> VoteScores:
    """Bradley-Terry scores of every photograph's versions; those of different photographs cannot be compared.

    Assessors who miss a verification pair are excluded. A version that only verification pairs show gets no score.

    Args:
        table: the votes.
        virtual_wins: added to every ordered pair of versions, >= 0.

    Raises:
        PaperlibError: `virtual_wins` negative or not finite; no vote is left; or, without virtual wins, a photograph
            with versions that never lost against the others.
    """
    if not 0 <= virtual_wins < np.inf:
        raise PaperlibError(f"virtual wins must be a number of 0 or more, got {virtual_wins:g}")
    plan = Schedule(table.assessor, table.image, table.left, table.right, table.expected)
    kept = counted(plan, table.choice)
    excluded = [name for name, good in zip(table.assessors, attentive(plan, table.choice), strict=True) if not good]
    if not kept.any():
        raise PaperlibError(
            f"none of the {len(kept)} votes counts: {len(excluded)} of {len(table.assessors)} assessors missed a "
            "verification pair, and the other votes are verifications; add votes on pairs without an expected answer"
        )
    image, left, right, choice = (column[kept] for column in (table.image, table.left, table.right, table.choice))
    wins = count_wins(image, left, right, choice, len(table.images), max(map(len, table.versions)))
    images, notes = {}, []
    for name, versions, own in zip(table.images, table.versions, wins, strict=True):
        seen = np.flatnonzero((own + own.T).any(axis=1))
        if not len(seen):
            notes.append(f"{name}: no vote counts, left out")
            continue
        found, connected = _solved(name, own[np.ix_(seen, seen)], virtual_wins)
        scores = {
            versions[index]: Score(score=float(score), standard_error=float(error))
            for index, score, error in zip(seen, found.scores[0], found.standard_errors[0], strict=True)
        }
        images[name] = ImageScores(votes=round(own.sum()), connected=connected, scores=scores)
    if table.unanswered:
        lines = table.unanswered + len(kept)
        notes.append(f"{table.unanswered} of {lines} lines have no choice and are left out; a tie is written tie")
    parted = [name for name, own in images.items() if not own["connected"]]
    if parted:
        notes.append(
            f"the versions of {listing(parted)} fall into parts that were never compared; scores between the parts "
            "rest on the virtual wins alone"
        )
    return VoteScores(
        votes=len(kept),
        counted=int(kept.sum()),
        ties=int((choice == TIE).sum()),
        verifications=int((table.expected != 0).sum()),
        assessors=len(table.assessors),
        excluded=excluded,
        virtual_wins=float(virtual_wins),
        images=images,
        notes=notes,
    )


def _solved(name: str, wins: np.ndarray, virtual_wins: float) -> tuple[BradleyTerry, bool]:
    """Scores of one photograph, and whether its versions hang together."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConnectivityWarning)
        try:
            found = bradley_terry(wins[None], virtual_wins)
        except ValueError as error:
            raise PaperlibError(
                f"{name} has versions that never lost to (or never met) the others, so no finite scores exist without "
                "virtual wins; take --virtual-wins above 0, such as 0.1"
            ) from error
    return found, not any(issubclass(one.category, ConnectivityWarning) for one in caught)


# ---------------------------------------------------------------------------------------------------- SACID's own table


def write_moses(found: VoteScores, path: Path, force: bool = False) -> list[Path]:
    """Write scores as a table of SACID's form (`paperlib.datasets.sacid`), and beside it a record of the votes.

    A file that this function wrote is replaced, and known by the fingerprint in the record; so is one of the same content.

    Args:
        found: scores of versions that are called as SACID's pictures are, with or without .png.
        path: `<name>.csv`; the record is `<name>.json`.
        force: replace other files, too.

    Returns:
        Table and record.

    Raises:
        PaperlibError: another suffix, versions of another name, photographs that lack versions, a file of another origin,
            or a folder that cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise PaperlibError(f"--moses writes a table, give a name that ends in .csv, got {path.name}")
    text, notes = _moses(found), path.with_suffix(".json")
    if not force:
        _require_ours(path, notes, text)
    told = {"sha256": sha256(text.encode())} | {name: value for name, value in found.items() if name != "images"}
    for file, content in ((path, text), (notes, sealed(_MAKER, told))):
        write(file, content, "give another file with --moses")
    return [path, notes]


def _moses(found: VoteScores) -> str:
    scores = {
        image: {name.removesuffix(".png"): one["score"] for name, one in own["scores"].items()}
        for image, own in found["images"].items()
    }
    known = {name: Version.from_case(name) for own in scores.values() for name in own}
    strange = [name for name, version in known.items() if version is None]
    if strange:
        raise PaperlibError(
            f"SACID's table names versions like {Version(12, 'p132').test_case}, the votes have "
            f"{listing(strange)}; `python -m paperlib code FOLDER` gives such names"
        )
    absent = [f"{image}/{name}" for image, own in scores.items() for name in sorted(known) if name not in own]
    if absent:
        raise PaperlibError(
            f"{len(absent)} of {len(scores) * len(known)} versions have no vote that counts: "
            f"{listing(absent)}; add votes on them, or take their photographs out"
        )
    return csv_text(COLUMNS, ((image, name, f"{own[name]:.6f}") for image, own in scores.items() for name in sorted(own)))


def _require_ours(path: Path, notes: Path, text: str) -> None:
    """Raises PaperlibError where table or record would replace what `write_moses` did not write."""
    told = record_by(_MAKER, notes)
    foreign = [notes] if notes.exists() and told is None else []
    if path.exists() and (content := path.read_bytes()) != text.encode():
        foreign += [] if told and told.get("sha256") == sha256(content) else [path]
    if foreign:
        raise PaperlibError(
            f"{listing(map(str, foreign))} would be replaced, and `votes` did not write it as it is; move it "
            "away, give another name, or add --force"
        )
