"""Archives of data sets, unpacked so that a damaged or hostile one does no harm and a half one is never used."""

import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from paperlib.errors import PaperlibError
from paperlib.supply.transfer import in_units, need_room, one_at_a_time, speaking_of_disks

LARGEST_RATIO = 200  # unpacked to packed; pictures reach 1.1, text 20, zeros 1000
_SMALL = 1 << 24
_LONGEST_HEADER = 1 << 16
_BLOCK = 1 << 20
_TAR_OPENERS = {".tar": open, ".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.xz": lzma.open}
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
)


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
        PaperlibError: the archive is damaged, cut off, encrypted, of another kind, larger than allowed, has links or
            would write outside `folder`; or there is too little room. `folder` is as it was.
    """
    archive, folder = Path(archive), Path(folder).resolve()
    if not archive.is_file():
        raise PaperlibError(f"{archive} is not there: put the archive at that place")
    limits = _Limits(archive, max_bytes, max_files)
    begun = folder.with_name(f".{folder.name}.unpacking")
    with speaking_of_disks(folder), one_at_a_time(folder.with_name(f".{folder.name}.lock"), folder.name):
        shutil.rmtree(begun, ignore_errors=True)
        try:
            begun.mkdir(parents=True)
            with _told_of_damage(archive):
                for member in _members(archive, folder):
                    place = limits.place_of(member, strip)
                    if place is not None:
                        _write(member, begun / place)
            if not limits.files:
                place = f" under {strip}" if strip else ""
                raise PaperlibError(f"{archive} has no files{place}: it is another archive")
            _refuse_clash(begun, folder)
            _move_in(begun, folder)
        finally:
            shutil.rmtree(begun, ignore_errors=True)


@dataclass(frozen=True)
class _Member:
    """An entry of an archive that is a file: its name as written there, its size, and its content."""

    name: str
    size: int
    content: IO[bytes]


@dataclass
class _Limits:
    """What has come out of an archive so far, and what may."""

    archive: Path
    max_bytes: int
    max_files: int
    bytes: int = 0
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def place_of(self, member: _Member, strip: str) -> PurePosixPath | None:
        """Where a member goes, relative to the folder; None where it is left out.

        Raises:
            PaperlibError: it would lie outside, take the place of another one, or be too much.
        """
        path = self._safe(member.name)
        if "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._"):
            return None
        if strip:
            if not path.is_relative_to(strip) or path == PurePosixPath(strip):
                return None
            path = path.relative_to(strip)
        self._count(member.size)
        key, parents = _folded(path), {_folded(parent) for parent in path.parents}
        if key in self.files or key in self.folders or parents & self.files:
            raise self._refused(f"has two files of the name {member.name!r}, letter case aside")
        self.files.add(key)
        self.folders |= parents
        return path

    def _safe(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0][1:2] == ":":
            raise self._refused(f"would write to {name!r}, outside its folder")
        if any(ord(letter) < 32 for letter in name):
            raise self._refused(f"has a file name with control characters, {name!r}")
        return path

    def _count(self, size: int) -> None:
        self.bytes += size
        if len(self.files) >= self.max_files:
            raise self._refused(f"has more than {self.max_files} files")
        if self.bytes > self.max_bytes:
            raise self._refused(f"unpacks to more than {in_units(self.max_bytes)}")
        if self.bytes > max(_SMALL, LARGEST_RATIO * self.archive.stat().st_size):
            raise self._refused(f"unpacks to more than {LARGEST_RATIO} times its size")

    def _refused(self, reason: str) -> PaperlibError:
        return _refused(self.archive, reason)


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
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PaperlibError(
            f"{archive} is damaged or cut off ({reason}): nothing was unpacked; delete it and fetch it again"
        ) from error


def _members(archive: Path, folder: Path) -> Iterator[_Member]:
    """The files of an archive in turn; the content of each is to be read before the next is asked for."""
    name = archive.name.lower()
    if name.endswith(".zip"):
        yield from _zip_members(archive, folder)
    elif suffix := next((suffix for suffix in _TAR_OPENERS if name.endswith(suffix)), None):
        need_room(folder.parent, archive.stat().st_size if suffix == ".tar" else 0, archive.name)
        with _TAR_OPENERS[suffix](archive, "rb") as stream:
            yield from _tar_members(archive, stream)
            while stream.read(_BLOCK):  # the check sum of a compressed file stands at its end
                pass
    else:
        raise PaperlibError(f"{archive} cannot be unpacked here: expected .zip, {', '.join(_TAR_OPENERS)}")


def _zip_members(archive: Path, folder: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        entries = [entry for entry in opened.infolist() if not entry.is_dir()]
        need_room(folder.parent, sum(entry.file_size for entry in entries), archive.name)
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise _refused(archive, f"has a link or a device, {entry.filename!r}")
            if entry.flag_bits & 1:
                raise PaperlibError(
                    f"{archive} is encrypted: unpack it with the password that the owners of the data gave you"
                )
            with opened.open(entry) as content:
                yield _Member(entry.filename, entry.file_size, content)


def _tar_members(archive: Path, stream: Any) -> Iterator[_Member]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader) as opened:
        for entry in opened:
            if entry.isdir():
                continue
            content = opened.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise _refused(archive, f"has a link or a device, {entry.name!r}")
            with content:
                yield _Member(entry.name, entry.size, content)


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a damaged header, or a file cut off between two members, for the end; here only zeros are."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_StrictHeader":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):
                raise
            raise tarfile.ReadError(str(error)) from error
        if not header.isreg() and header.size > _LONGEST_HEADER:
            raise tarfile.ReadError("a header is too long")
        return header


def _write(member: _Member, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with open(place, "xb") as out:
        while block := member.content.read(_BLOCK):
            written += len(block)
            out.write(block)
    if written != member.size:
        raise EOFError(f"{member.name} has {written} of {member.size} bytes")


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
