"""Scores of pictures by networks, kept one by one, so that none is computed twice and a killed run loses one batch.

A cache is one SQLite file. Each `add` is a transaction: after a kill at any moment the file holds whole batches. Keys are
texts that say all that decides a score (network, picture, what was done to it); the file holds their hashes.
"""

import hashlib
import math
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType

from paperlib.engine.progress import say
from paperlib.errors import PaperlibError

_TIMEOUT = 60.0
_AT_ONCE = 500
"""Keys in one question; SQLite allows 999 placeholders everywhere."""


class ScoreCache:
    """The scores in one file, which is made when the first are added. Use it in a `with` block.

    Several processes may read and add at the same time. A file that SQLite cannot read is set aside under the name
    `<file>.damaged`, told in one line, and a new one is begun.

    Args:
        file: the SQLite file; its folder is made.

    Raises:
        PaperlibError: the file can be neither read nor written.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._connection = self._opened()

    def __enter__(self) -> "ScoreCache":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def found(self, keys: Iterable[str]) -> dict[str, float]:
        """The scores that are there, by key, in the order of `keys`."""
        wanted = {_hashed(key): key for key in keys}
        hashes = list(wanted)
        scores: dict[bytes, float] = {}
        for start in range(0, len(hashes), _AT_ONCE):
            some = hashes[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            scores.update(self._connection.execute(f"SELECT key, score FROM scores WHERE key IN ({marks})", some))
        return {key: scores[hashed] for hashed, key in wanted.items() if hashed in scores}

    def add(self, scores: Mapping[str, float]) -> None:
        """Keep scores by key, all of them or, when the process dies meanwhile, none.

        Raises:
            ValueError: a score that is NaN or infinite; nothing is kept.
            PaperlibError: the file cannot be written.
        """
        wrong = [key for key, score in scores.items() if not math.isfinite(score)]
        if wrong:
            raise ValueError(f"{len(wrong)} of {len(scores)} scores are NaN or infinite, the first for {wrong[0]!r}")
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO scores VALUES (?, ?)",
                    [(_hashed(key), float(score)) for key, score in scores.items()],
                )
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            return self._connected()
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            aside = self.file.with_name(f"{self.file.name}.damaged")
            os.replace(self.file, aside)
            say(f"{self.file} is damaged ({error}); it is now {aside.name}, its scores are computed again")
            return self._connected()
        except OSError as error:
            raise self._unusable(error) from error

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=_TIMEOUT)
        try:
            connection.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID")
            with closing(connection.execute("PRAGMA quick_check(1)")) as cursor:
                verdict = cursor.fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except BaseException:
            connection.close()
            raise
        return connection

    def _unusable(self, error: Exception) -> PaperlibError:
        return PaperlibError(
            f"the score cache {self.file} cannot be used ({error}); expected a writable file on a disk with "
            "free space: check its folder, or give another one with --results DIR"
        )


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]
