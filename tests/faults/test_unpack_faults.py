"""Archives that are cut off, damaged, hostile or too large: all files, or one sentence and the folder as it was."""

import errno
import gzip
import io
import lzma
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from paperlib.errors import PaperlibError
from paperlib.supply.unpack import unpack
from tests.loopback import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
NOISE = random.Random(7).randbytes(40_000)
FILES = {
    "trainSet/Stimuli/Action/001.jpg": NOISE,
    "trainSet/FIXATIONLOCS/Action/001.mat": NOISE[:700],
    "trainSet/README.txt": b"two categories\n",
}
KINDS = ("a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz")
each_kind = pytest.mark.parametrize("kind", KINDS)
TAR_MODES = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.xz": "w:xz"}


def pack(archive: Path, files: dict[str, bytes]) -> Path:
    """An archive by the standard library, with an entry for each folder as official ones have."""
    folders = sorted({str(parent) + "/" for name in files for parent in list(Path(name).parents)[:-1]})
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for name in folders:
                out.writestr(name, b"")
            for name, content in files.items():
                out.writestr(name, content)
    else:
        with tarfile.open(archive, TAR_MODES[archive.name]) as out:
            for name in folders:
                out.addfile(tar_entry(name.rstrip("/"), type=tarfile.DIRTYPE, mode=0o755))
            for name, content in files.items():
                out.addfile(tar_entry(name, size=len(content)), io.BytesIO(content))
    return archive


def tar_entry(name: str, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def tar_with(archive: Path, entry: tarfile.TarInfo) -> Path:
    """A good file, then `entry`, then another good one."""
    with tarfile.open(archive, "w") as out:
        out.addfile(tar_entry("good.txt", size=4), io.BytesIO(b"good"))
        out.addfile(entry, io.BytesIO(b"x" * entry.size) if entry.isreg() else None)
        out.addfile(tar_entry("more.txt", size=4), io.BytesIO(b"more"))
    return archive


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(archive: Path, folder: Path, **options: Any) -> dict[str, bytes]:
    unpack(archive, folder, **{"max_bytes": 10**6, "max_files": 100} | options)
    return content_of(folder)


def refused(archive: Path, folder: Path, **options: Any) -> str:
    """The one sentence, after which the folder and what lies beside it are as they were."""
    folder.mkdir(exist_ok=True)
    (folder / "earlier.txt").write_text("earlier")
    before = sorted(os.listdir(folder.parent))
    with pytest.raises(PaperlibError) as caught:
        put(archive, folder, **options)
    assert content_of(folder) == {"earlier.txt": b"earlier"}
    assert sorted(os.listdir(folder.parent)) == before
    message = str(caught.value)
    assert "\n" not in message and 40 < len(message) < 500
    return message


# ---- the good case --------------------------------------------------------------------------------------------------
@each_kind
def test_all_files_arrive(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, FILES)
    assert put(archive, tmp_path / "new" / "CAT2000") == FILES
    assert os.listdir(tmp_path / "new") == ["CAT2000"]
    assert stat.S_IMODE((tmp_path / "new/CAT2000/trainSet/README.txt").stat().st_mode) & 0o777 == 0o644


@each_kind
def test_a_leading_folder_is_left_away(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, {**FILES, "elsewhere.txt": b"not wanted", "trainSetB/x": b"neither"})
    found = put(archive, tmp_path / "CAT2000", strip="trainSet")
    assert found == {name.removeprefix("trainSet/"): content for name, content in FILES.items()}


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    folder = tmp_path / "SALICON"
    (folder / "images").mkdir(parents=True)
    (folder / "images/old.jpg").write_bytes(b"old")
    (folder / "images/same.jpg").write_bytes(b"old")
    archive = pack(tmp_path / "a.zip", {"images/new.jpg": b"new", "images/same.jpg": b"new", "maps/a.png": b"map"})
    assert put(archive, folder) == {
        "images/old.jpg": b"old",
        "images/new.jpg": b"new",
        "images/same.jpg": b"new",
        "maps/a.png": b"map",
    }
    assert sorted(os.listdir(tmp_path)) == ["SALICON", "a.zip"]


def test_folder_behind_a_link_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "CAT2000").symlink_to(tmp_path / "big disk", target_is_directory=True)
    assert put(pack(tmp_path / "a.zip", FILES), tmp_path / "CAT2000") == FILES
    assert (tmp_path / "CAT2000").is_symlink()


@each_kind
def test_metadata_of_macos_is_left_out(tmp_path: Path, kind: str) -> None:
    litter = {"__MACOSX/trainSet/._001.jpg": b"x", "trainSet/.DS_Store": b"x", "trainSet/._README.txt": b"x"}
    assert put(pack(tmp_path / kind, {**FILES, **litter}), tmp_path / "CAT2000") == FILES


def test_names_of_windows_programs(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("x", b"picture")
    renamed(archive, b"x", b"\\")
    assert "outside" in refused(archive, tmp_path / "set")
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("images?a.png", b"picture")
    renamed(archive, b"images?a.png", b"images\\a.png")
    assert put(archive, tmp_path / "CLIVE") == {"images/a.png": b"picture"}


def renamed(archive: Path, name: bytes, to: bytes) -> None:
    """Write a name that zipfile itself would not write."""
    assert len(name) == len(to)
    archive.write_bytes(archive.read_bytes().replace(name, to))


def test_long_and_foreign_names(tmp_path: Path) -> None:
    files = {"Bilder/" + "ä" * 60 + "/" + "名" * 60 + ".jpg": b"1", "b" * 120 + "/" + "c" * 120 + ".txt": b"2"}
    for kind in KINDS:
        assert put(pack(tmp_path / kind, files), tmp_path / f"set of {kind}") == files


def test_gnu_long_names_and_several_gzip_members(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as out:
        out.addfile(tar_entry("d" * 90 + "/" + "e" * 90, size=1), io.BytesIO(b"1"))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole[:700]) + gzip.compress(whole[700:]))
    assert put(tmp_path / "a.tar.gz", tmp_path / "set") == {"d" * 90 + "/" + "e" * 90: b"1"}


# ---- cut off, damaged, of another kind ------------------------------------------------------------------------------
@each_kind
def test_every_cut_of_a_small_archive_is_noticed(tmp_path: Path, kind: str) -> None:
    """tarfile alone takes a tar that ends between two members for a whole one."""
    files = {"a.txt": b"a" * 512, "b.txt": b"b" * 100}
    whole = pack(tmp_path / kind, files).read_bytes()
    archive = tmp_path / f"cut{kind}"
    for length in range(0, len(whole) - 1, 64 if kind == "a.tar" else 7):
        archive.write_bytes(whole[:length])
        try:
            found = put(archive, tmp_path / "set")
        except PaperlibError as error:
            assert f"{archive} is damaged or cut off" in str(error) and not (tmp_path / "set").exists()
        else:
            assert found == files and kind == "a.tar" and length >= 2560
            shutil.rmtree(tmp_path / "set")


@each_kind
def test_damaged_bytes(tmp_path: Path, kind: str) -> None:
    """A plain .tar has no check sum of its content: there, the header of the second file is hit."""
    archive = pack(tmp_path / kind, FILES)
    damaged = bytearray(archive.read_bytes())
    place = damaged.index(b"trainSet/FIXATIONLOCS/Action/001.mat") if kind == "a.tar" else len(damaged) // 2
    damaged[place : place + 8] = b"\xff\x00\xff\x00\xff\x00\xff\x00"
    archive.write_bytes(damaged)
    assert "damaged or cut off" in refused(archive, tmp_path / "CAT2000")


@pytest.mark.parametrize("kind", ["a.tar.gz", "a.tar.xz"])
def test_check_sum_at_the_end(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, FILES)
    damaged = bytearray(archive.read_bytes())
    damaged[-7] ^= 0xFF
    archive.write_bytes(damaged)
    assert "damaged or cut off" in refused(archive, tmp_path / "CAT2000")


@each_kind
def test_a_web_page_of_that_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / kind).write_bytes(b"<html>Quota exceeded</html>" * 100)
    assert "damaged or cut off" in refused(tmp_path / kind, tmp_path / "set")


def test_random_damage_of_zips_never_escapes(tmp_path: Path) -> None:
    """Whatever bytes are hit: all files as they were, or one sentence."""
    whole = pack(tmp_path / "a.zip", {name: content[:300] for name, content in FILES.items()}).read_bytes()
    wanted = {name: content[:300] for name, content in FILES.items()}
    chance = random.Random(3)
    outcomes = set()
    for number in range(120):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        archive, folder = tmp_path / f"d{number}.zip", tmp_path / f"set{number}"
        archive.write_bytes(damaged)
        try:
            found = put(archive, folder)
        except PaperlibError:
            outcomes.add("sentence")
            assert not folder.exists()
        else:
            outcomes.add("files")
            assert set(found.values()) <= set(wanted.values())
    assert outcomes == {"sentence", "files"}


def test_encrypted(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("secret.mat", b"content")
    raw = bytearray(archive.read_bytes())
    raw[6] |= 1  # the flag in the local header and in the directory
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    assert "is encrypted" in refused(archive, tmp_path / "CLIVE")


def test_packed_by_an_unknown_method(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("a.mat", b"content")
    raw = bytearray(archive.read_bytes())
    struct.pack_into("<H", raw, 8, 9)  # Deflate64
    struct.pack_into("<H", raw, raw.index(b"PK\x01\x02") + 10, 9)
    archive.write_bytes(raw)
    assert "another program" in refused(archive, tmp_path / "set")


def test_other_kinds_and_missing_archives(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    assert "expected .zip" in refused(tmp_path / "a.rar", tmp_path / "set")
    assert "is not there" in refused(tmp_path / "b.zip", tmp_path / "set")


@each_kind
def test_nothing_inside(tmp_path: Path, kind: str) -> None:
    assert "has no files" in refused(pack(tmp_path / kind, {}), tmp_path / "set")
    assert "has no files under testSet" in refused(pack(tmp_path / kind, FILES), tmp_path / "set", strip="testSet")


# ---- hostile --------------------------------------------------------------------------------------------------------
@each_kind
@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "C:/evil", "..\\evil", "a/..", "//evil"])
def test_names_that_lead_out(tmp_path: Path, kind: str, name: str) -> None:
    archive = pack(tmp_path / kind, {"good.txt": b"good", name: b"evil"})
    assert "outside" in refused(archive, tmp_path / "deep")
    assert not (tmp_path / "evil").exists() and not Path("/etc/evil").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc"},
        {"type": tarfile.SYMTYPE, "linkname": "good.txt"},
        {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "good.txt"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.BLKTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.FIFOTYPE},
    ],
    ids=["symlink out", "symlink in", "hardlink out", "hardlink in", "character device", "block device", "pipe"],
)
def test_links_and_devices_in_tars(tmp_path: Path, fields: dict[str, Any]) -> None:
    archive = tar_with(tmp_path / "a.tar", tar_entry("odd", **fields))
    assert "a link or a device" in refused(archive, tmp_path / "set")


def test_a_file_with_holes(tmp_path: Path) -> None:
    """Its map may announce more than the sizes that are counted."""
    with open(tmp_path / "holes", "wb") as out:
        out.truncate(1 << 22)
        out.write(b"end")
    subprocess.run(["tar", "-cSf", "a.tar", "holes"], cwd=tmp_path, check=True)
    assert "holes" in refused(tmp_path / "a.tar", tmp_path / "set", max_bytes=10**9)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO | 0o666])
def test_links_and_devices_in_zips(tmp_path: Path, mode: int) -> None:
    entry = zipfile.ZipInfo("odd")
    entry.external_attr, entry.create_system = mode << 16, 3
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("good.txt", b"good")
        out.writestr(entry, "/etc/passwd")
    assert "a link or a device" in refused(tmp_path / "a.zip", tmp_path / "set")


@each_kind
@pytest.mark.parametrize(
    "names", [("A.jpg", "a.jpg"), ("x/é.png", "x/e\u0301.png"), ("a", "a/b"), ("a/b", "a"), ("Dir/a", "dir/A")]
)
def test_names_that_collide(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    if kind.endswith("zip"):
        with zipfile.ZipFile(tmp_path / kind, "w") as out:
            for name in names:
                out.writestr(name, b"1")
    else:
        with tarfile.open(tmp_path / kind, TAR_MODES[kind]) as out:
            for name in names:
                out.addfile(tar_entry(name, size=1), io.BytesIO(b"1"))
    assert "two files of the name" in refused(tmp_path / kind, tmp_path / "set")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("a.jpg", b"1")
        out.writestr("a.jpg", b"2")
    assert "two files of the name" in refused(tmp_path / "a.zip", tmp_path / "set")


def test_control_characters(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a\nb.jpg": b"1"})
    assert "control characters" in refused(archive, tmp_path / "set")


@each_kind
def test_limits(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, FILES)
    assert "more than 2 files" in refused(archive, tmp_path / "set", max_files=2)
    assert "unpacks to more than 40.0 KB" in refused(archive, tmp_path / "set", max_bytes=40_000)
    shutil.rmtree(tmp_path / "set")
    total = sum(map(len, FILES.values()))
    assert put(archive, tmp_path / "set", max_files=3, max_bytes=total) == FILES


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.tar.xz"])
def test_bombs_are_told_by_their_ratio(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, {"zeros": bytes(20_000_000)})
    assert "200 times its size" in refused(archive, tmp_path / "set", max_bytes=10**9)


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    """A long name is announced by its size and would be read at once."""
    entry = tar_entry("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=1 << 30)
    with gzip.open(tmp_path / "a.tar.gz", "wb") as out:
        out.write(entry.tobuf(tarfile.GNU_FORMAT))
        out.write(b"a" * 1_000_000)
    assert "a header is too long" in refused(tmp_path / "a.tar.gz", tmp_path / "set", max_bytes=10**12)


@pytest.mark.parametrize("announced", [10, 2_000_000])
def test_a_size_that_lies(tmp_path: Path, announced: int) -> None:
    """The directory of a .zip announces other sizes than the files have; more than announced never comes out."""
    archive = pack(tmp_path / "a.zip", {"zeros": bytes(1_000_000)})
    raw = bytearray(archive.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, announced)
    archive.write_bytes(raw)
    assert "damaged or cut off" in refused(archive, tmp_path / "set", max_bytes=announced)


# ---- disks and interruptions ----------------------------------------------------------------------------------------
def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 30_000))
    archives = [pack(tmp_path / kind, FILES) for kind in ("a.zip", "a.tar")]
    monkeypatch.setattr(shutil, "copyfileobj", lambda *args, **named: pytest.fail("written"))
    for archive in archives:
        assert "30.0 KB are free" in refused(archive, tmp_path / "set")


@each_kind
def test_full_disk_in_the_middle(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, written = pack(tmp_path / kind, FILES), []
    copy = shutil.copyfileobj

    def copy_one(*args: Any, **named: Any) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(args)
        copy(*args, **named)

    monkeypatch.setattr(shutil, "copyfileobj", copy_one)
    assert "the disk is full" in refused(archive, tmp_path / "set")
    assert written


def test_interrupted_by_the_keyboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    archive = pack(tmp_path / "a.tar.gz", FILES)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", interrupt)
        put(archive, tmp_path / "set")
    assert os.listdir(tmp_path) == ["a.tar.gz"]
    assert put(archive, tmp_path / "set") == FILES


def test_killed_in_the_middle_starts_clean(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", FILES)
    code = (
        "import os, time\nfrom pathlib import Path\nfrom paperlib.supply import unpack as module\n"
        "os.rename = lambda *args: time.sleep(60)\n"
        f"module.unpack(Path({str(archive)!r}), Path({str(tmp_path / 'set')!r}), max_bytes=10**6, max_files=9)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    begun = tmp_path / ".set.unpacking"
    wait_until(lambda: (begun / "trainSet/README.txt").exists())
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert begun.exists() and not (tmp_path / "set").exists()
    (begun / "stray.txt").write_text("of the killed call")
    assert put(archive, tmp_path / "set") == FILES
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "set"]


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "set" / "a.txt").mkdir(parents=True)
    assert "is in the way" in refused(pack(tmp_path / "a.zip", {"0.txt": b"0", "a.txt": b"1"}), tmp_path / "set")


def test_a_tar_that_xz_packed_by_another_program(tmp_path: Path) -> None:
    """Also the order in which a real `tar` writes, with owners and times."""
    for name, content in FILES.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(content)
    subprocess.run(["tar", "-cf", "a.tar", "-C", "source", "trainSet"], cwd=tmp_path, check=True)
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress((tmp_path / "a.tar").read_bytes()))
    assert put(tmp_path / "a.tar.xz", tmp_path / "CAT2000") == FILES
