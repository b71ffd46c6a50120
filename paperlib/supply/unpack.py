"""Archives of data sets, unpacked so that a damaged or hostile one does no harm and a half one is never used."""

import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from paperlib.errors import PaperlibError
from paperlib.supply.transfer import in_units, need_room, one_at_a_time, speaking_of_disks

LARGEST_RATIO = 200  # unpacked to packed; pictures reach 1.1, text 20, zeros 1000
LONGEST_NAME = 500
_SMALL = 1 << 24
_FEW = 1000
_LEAST_PACKED = 256  # bytes of an archive per member, beyond the first few; empty members of a .tar.gz take 7
_LONGEST_HEADER = 1 << 16
_BLOCK = 1 << 20
_TAR_OPENERS: dict[str, Callable[..., Any]] = {".tar": open, ".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.xz": lzma.open}


def unpack(archive: Path, folder: Path, *, strip: str = "", max_bytes: int, max_files: int) -> None:
    """Unpack a .zip, .tar, .tar.gz, .tgz or .tar.xz into `folder`.

    Everything is read into a folder beside `folder`, which gets the name `folder` when it is whole. Where `folder`
    exists, the files move into it then; others that lie there stay. An interrupted call leaves nothing that the next
    one would use. Metadata of macOS (`__MACOSX`, `._*`, `.DS_Store`) is left out, and so are empty folders.

    Args:
        archive: the file.
        folder: where its files go; made when missing.
        strip: a leading folder of the names in the archive to leave away, such as `trainSet`; files that lie elsewhere
            are left out.
        max_bytes: most bytes that all files together may have.
        max_files: most files.

    Raises:
        PaperlibError: the archive is damaged, cut off, encrypted, of another kind, larger than allowed, has links, more
            members than belong into a file of its size, or would write outside `folder`; or there is too little room.
            `folder` is as it was.
    """
    archive, folder = Path(archive), Path(folder).resolve()
    if not archive.is_file():
        raise PaperlibError(f"{archive} is not there: put the archive at that place")
    chosen = _Chosen(archive, strip, max_bytes, max_files)
    begun = folder.with_name(f".{folder.name}.unpacking")
    with speaking_of_disks(folder), one_at_a_time(folder.with_name(f".{folder.name}.lock"), folder.name):
        shutil.rmtree(begun, ignore_errors=True)
        try:
            begun.mkdir(parents=True)
            with _told_of_damage(archive):
                _extract(archive, begun, chosen)
            if not chosen.files:
                place = f" under {strip}" if strip else ""
                raise PaperlibError(f"{archive} has no files{place}: it is another archive")
            _refuse_clash(begun, folder)
            _move_in(begun, folder)
        finally:
            shutil.rmtree(begun, ignore_errors=True)


def names(archive: Path) -> Iterator[str]:
    """Names of the members of an archive as of `unpack`, folders included, as far as somebody asks for them.

    Raises:
        PaperlibError: as `unpack`, as far as the names tell.
    """
    try:
        with _told_of_damage(archive):
            if archive.name.lower().endswith(".zip"):
                with zipfile.ZipFile(archive) as opened:
                    yield from (entry.filename for entry in _zip_members(archive, opened))
            else:
                with _unpacked(archive) as stream:
                    yield from (entry.name for _, entry in _tar_members(archive, stream))
    except OSError as error:
        raise PaperlibError(f"{archive} cannot be read ({error.strerror}): check its rights, or get it again") from error


@dataclass
class _Chosen:
    """What has come out of an archive so far, and what may."""

    archive: Path
    strip: str
    max_bytes: int
    max_files: int
    bytes: int = 0
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def place_of(self, name: str, size: int) -> str | None:
        """Where a file of the archive goes, relative to the folder; None where it is left out.

        Raises:
            PaperlibError: it would lie outside, take the place of another one, or be too much.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        if len(name) > LONGEST_NAME:
            raise _refused(self.archive, f"has a file name of {len(name)} characters")
        if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0][1:2] == ":":
            raise _refused(self.archive, f"would write to {name!r}, outside its folder")
        if any(ord(letter) < 32 for letter in name):
            raise _refused(self.archive, f"has a file name with control characters, {name!r}")
        if "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._"):
            return None
        if self.strip:
            if not path.is_relative_to(self.strip) or path == PurePosixPath(self.strip):
                return None
            path = path.relative_to(self.strip)
        self._count(size)
        key, parents = _folded(path), {_folded(parent) for parent in path.parents}
        if key in self.files or key in self.folders or parents & self.files:
            raise _refused(self.archive, f"has two files of the name {name!r}, letter case aside")
        self.files.add(key)
        self.folders |= parents
        return path.as_posix()

    def _count(self, size: int) -> None:
        self.bytes += size
        if len(self.files) >= self.max_files:
            raise _refused(self.archive, f"has more than {self.max_files} files")
        if self.bytes > self.max_bytes:
            raise _refused(self.archive, f"unpacks to more than {in_units(self.max_bytes)}")
        _refuse_bomb(self.archive, self.bytes)


def _refuse_bomb(archive: Path, unpacked: int) -> None:
    if unpacked > max(_SMALL, LARGEST_RATIO * archive.stat().st_size):
        raise _refused(archive, f"unpacks to more than {LARGEST_RATIO} times its size")


def _refused(archive: Path, reason: str) -> PaperlibError:
    return PaperlibError(
        f"{archive} {reason}: nothing was unpacked, this is not the official archive; delete it and fetch it again"
    )


@contextmanager
def _told_of_damage(archive: Path) -> Iterator[None]:
    """Turn what the readers of archives raise into one sentence.

    Raises:
        PaperlibError: for any of it.
    """
    try:
        yield
    except NotImplementedError as error:
        raise PaperlibError(
            f"{archive} is packed by a method that Python cannot read ({error}): unpack it with another program"
        ) from error
    except (PaperlibError, MemoryError):
        raise
    except Exception as error:  # a damaged archive makes the readers fail in any way
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a place before the start is damage
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PaperlibError(
            f"{archive} is damaged or cut off ({reason}): nothing was unpacked; delete it and fetch it again"
        ) from error


def _extract(archive: Path, begun: Path, chosen: _Chosen) -> None:
    name = archive.name.lower()
    if name.endswith(".zip"):
        _extract_zip(archive, begun, chosen)
        return
    with _unpacked(archive) as stream:
        need_room(begun.parent, archive.stat().st_size if name.endswith(".tar") else 0, archive.name)
        _extract_tar(archive, stream, begun, chosen)
        while stream.read(_BLOCK):  # the check sum of a compressed file stands at its end
            pass


@contextmanager
def _unpacked(archive: Path) -> Iterator["_Limited"]:
    """The .tar inside an archive.

    Raises:
        PaperlibError: its suffix is none of `_TAR_OPENERS`.
    """
    opener = next((opener for suffix, opener in _TAR_OPENERS.items() if archive.name.lower().endswith(suffix)), None)
    if opener is None:
        raise PaperlibError(f"{archive} cannot be unpacked here: expected .zip, {', '.join(_TAR_OPENERS)}")
    with opener(archive, "rb") as stream:
        yield _Limited(archive, stream)


@dataclass
class _Limited:
    """A stream that never gives more than `LARGEST_RATIO` allows, whatever is done with what it gives."""

    archive: Path
    stream: Any
    bytes: int = 0

    def read(self, size: int) -> Any:
        block = self.stream.read(size)
        self.bytes += len(block)
        _refuse_bomb(self.archive, self.bytes)
        return block


def _extract_zip(archive: Path, begun: Path, chosen: _Chosen) -> None:
    with zipfile.ZipFile(archive) as opened:
        entries = [entry for entry in _zip_members(archive, opened) if not entry.filename.endswith("/")]
        need_room(begun.parent, sum(entry.file_size for entry in entries), archive.name)
        for entry in entries:
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                raise _refused(archive, f"has a link or a device, {entry.filename!r}")
            if entry.flag_bits & 1:
                raise PaperlibError(
                    f"{archive} is encrypted: unpack it with the password that the owners of the data gave you"
                )
            if place := chosen.place_of(entry.filename, entry.file_size):
                entry.filename = place
                written = os.path.getsize(opened.extract(entry, begun))
                if written != entry.file_size:
                    raise EOFError(f"{place} has {written} of {entry.file_size} bytes")


def _extract_tar(archive: Path, stream: Any, begun: Path, chosen: _Chosen) -> None:
    """Contents alone are taken over, so that this does as much as tarfile's filter "data", which 3.11.2 has not."""
    for opened, entry in _tar_members(archive, stream):
        if entry.isdir():
            continue
        if not entry.isreg():
            raise _refused(archive, f"has a link or a device, {entry.name!r}")
        if entry.issparse():
            raise _refused(archive, f"has a file with holes, {entry.name!r}")
        place, content = chosen.place_of(entry.name, entry.size), opened.extractfile(entry)
        if place and content:
            target = begun / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file, _BLOCK)
            if target.stat().st_size != entry.size:
                raise EOFError(f"{place} has {target.stat().st_size} of {entry.size} bytes")


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = opened.infolist()
    _refuse_crumbs(archive, len(entries))
    return entries


def _tar_members(archive: Path, stream: Any) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader) as opened:
        for count, entry in enumerate(opened, 1):
            _refuse_crumbs(archive, count)
            yield opened, entry


def _refuse_crumbs(archive: Path, members: int) -> None:
    if members > _FEW + archive.stat().st_size / _LEAST_PACKED:
        raise _refused(archive, f"has more members than fit into {in_units(archive.stat().st_size)}")


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a damaged header, or a file cut off between two members, for the end; here only zeros are."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_StrictHeader":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # the stubs lack it
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0 or (not header.isreg() and header.size > _LONGEST_HEADER):
            raise tarfile.ReadError("a header is too long")
        return header


def _folded(path: PurePosixPath) -> str:
    """Names that a file system may take for the same have the same fold."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _refuse_clash(begun: Path, folder: Path) -> None:
    """See to it before anything moves that no file takes the place of a folder, or the other way round.

    Raises:
        PaperlibError: one would.
    """
    for entry in begun.rglob("*"):
        place = folder / entry.relative_to(begun)
        if place.exists() and place.is_dir() != entry.is_dir():
            raise PaperlibError(
                f"{place} is in the way of the archive's {'folder' if entry.is_dir() else 'file'}: "
                "move it away and call again"
            )


def _move_in(begun: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(begun, folder)
        return
    for entry in begun.iterdir():
        place = folder / entry.name
        if entry.is_dir() and place.exists():
            _move_in(entry, place)
        else:
            os.replace(entry, place)
