"""Archives of results: the same bytes for the same files, opened beside the user's tree, refused where damaged."""

import io
import tarfile
from pathlib import Path

import pytest

from bntt.io.archive import (
    SUMS,
    archives_in,
    pack,
    pack_alone,
    packed_place,
    read_alone,
    read_archive,
    unpack_alone,
    unpacked,
)
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import digest_of_bytes
from tests.rows import each_row

FILES = {"run-1/recipe.toml": b"seed = 1\n", "run-0/evaluation.json": b"{}", "run-0/measures/exit-1.json": b"[1]"}


def test_the_same_files_give_the_same_bytes_whatever_their_order(tmp_path):
    pack(tmp_path / "a.tar.xz", FILES)
    pack(tmp_path / "b.tar.xz", dict(reversed(FILES.items())))
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()
    assert dict(read_archive(tmp_path / "a.tar.xz")) == FILES
    assert [line.split("  ")[1] for line in (tmp_path / SUMS).read_text().splitlines()] == ["a.tar.xz", "b.tar.xz"]
    with tarfile.open(tmp_path / "a.tar.xz") as opened:
        assert {(one.mtime, one.uid, one.gid, one.uname) for one in opened} == {(0, 0, 0, "")}


def test_archives_are_opened_together_and_leave_their_folder_as_it_is(tmp_path):
    pack(tmp_path / "a.tar.xz", FILES)
    pack(tmp_path / "b.tar.xz", {"run-2/recipe.toml": b""})
    before = sorted(tmp_path.iterdir())
    opened = unpacked(tmp_path)
    assert {str(path.relative_to(opened)) for path in opened.rglob("*.*")} == {*FILES, "run-2/recipe.toml"}
    assert unpacked(tmp_path) == opened, "once a process"
    assert sorted(tmp_path.iterdir()) == before
    assert packed_place(opened / "run-0").name == "run-0"
    assert packed_place(tmp_path / "run-0") is None
    pack(tmp_path / "b.tar.xz", {})
    assert not (unpacked(tmp_path) / "run-2").exists(), "what was packed anew is opened anew"


@each_row("fault", ["bit", "short", "unlisted", "link", ".", "../out.txt", "C:/x", "a\\b", "a\nb"])
def test_a_damaged_archive_is_refused_in_a_sentence(tmp_path, fault):
    path = tmp_path / "a.tar.xz"
    pack(path, FILES)
    content = bytearray(path.read_bytes())
    if fault == "bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif fault == "short":
        path.write_bytes(content[:-4])
    elif fault == "unlisted":
        (tmp_path / SUMS).unlink()
    else:
        import bntt.io.files

        with tarfile.open(path, "w:xz", format=tarfile.PAX_FORMAT) as opened:
            member = tarfile.TarInfo("run-0/recipe.toml" if fault == "link" else fault)
            if fault == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            opened.addfile(member)
        (tmp_path / SUMS).write_text(f"{bntt.io.files.digest(path)}  {path.name}\n")
    with pytest.raises(CheckpointError, match=r"a\.tar\.xz (is damaged|holds|is no archive).*fetch it again"):
        list(read_archive(path))
    assert archives_in(tmp_path) == [path]


def test_a_name_that_this_system_does_not_take_is_refused_in_a_sentence(tmp_path):
    path, content, name = tmp_path / "a.tar.xz", b"{}", f"{300 * 'x'}/recipe.toml"
    listed = f"{digest_of_bytes(content)}  {name}\n".encode()
    with tarfile.open(path, "w:xz", format=tarfile.GNU_FORMAT) as opened:
        for called, inside in ((name, content), (SUMS, listed)):
            member = tarfile.TarInfo(called)
            member.size = len(inside)
            opened.addfile(member, io.BytesIO(inside))
    with pytest.raises(CheckpointError, match=r"'x+', a name of 312 characters, cannot be unpacked"):
        unpack_alone(path, tmp_path / "there")
    (tmp_path / SUMS).write_text(f"{digest_of_bytes(path.read_bytes())}  {path.name}\n")
    with pytest.raises(CheckpointError, match="under a shorter name"):
        unpacked(tmp_path)


def test_any_name_that_any_system_takes_is_kept_and_others_are_refused_in_words(tmp_path):
    files = {f"run-é{'y' * 120}/a\u2028b/{'x' * 90}.json": b"{}", "of \x1c mine": b"1"}
    pack_alone(tmp_path / "a.tar.xz", files)
    assert read_alone(tmp_path / "a.tar.xz") == files
    pack(tmp_path / "b.tar.xz", files)
    assert dict(read_archive(tmp_path / "b.tar.xz")) == files
    for name in ("a\nb", "a\0b", "a\\b", "C:/x", "../x", "/x", ""):
        with pytest.raises(CheckpointError, match="is no name for a file in an archive"):
            pack(tmp_path / "c.tar.xz", {name: b""})


def test_archives_are_read_and_unpacked_once(tmp_path, monkeypatch):
    path, reads, read = tmp_path / "a.tar.xz", [], Path.read_bytes
    pack(path, FILES)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda one: reads.append(one.name) or read(one))
        opened = unpacked(tmp_path)
        assert unpacked(tmp_path) == opened
    assert reads.count("a.tar.xz") == 1
    assert packed_place(opened / "run-0").parts[-2:] == (tmp_path.name, "run-0")
