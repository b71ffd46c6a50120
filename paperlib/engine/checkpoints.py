"""Checkpoints of a training run: written whole or not at all, kept beside the one before, and checked when read.

PyTorch itself takes a file with altered bytes for good; so a checkpoint ends with its SHA-256.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from paperlib.engine.progress import say
from paperlib.paths import atomic_write

_DIGEST = hashlib.sha256().digest_size


def save(file: Path, state: dict[str, Any]) -> None:
    """Write `state`, of tensors and plain values, to `file`; what was there becomes the one before."""
    memory = io.BytesIO()
    torch.save(state, memory)
    with atomic_write(file) as handle:
        handle.write(memory.getbuffer())
        handle.write(hashlib.sha256(memory.getbuffer()).digest())
        if file.is_file():
            os.replace(file, _previous(file))


def usable(file: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The checkpoint in `file` and the one before it, on the CPU, those that can be read; a damaged one is told and set
    aside."""
    for candidate in (file, _previous(file)):
        if candidate.is_file() and (state := _read(candidate)) is not None:
            yield candidate, state


def _previous(file: Path) -> Path:
    return file.with_name(f"{file.name}.previous")


def _read(file: Path) -> dict[str, Any] | None:
    content = file.read_bytes()
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        aside = file.with_name(f"{file.name}.damaged")
        os.replace(file, aside)
        say(f"the checkpoint {file} is damaged, now {aside.name}; training goes on from the one before, if any")
        return None
    return torch.load(io.BytesIO(content[:-_DIGEST]), map_location="cpu", weights_only=True)
