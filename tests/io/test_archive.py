"""Archives of results: the same bytes for the same files, opened beside the user's tree, refused where damaged."""

import io
import tarfile
from pathlib import Path

import pytest

from bntt.io.archive import SUMS, archives_in, pack, packed_place, read_archive, unpacked
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import digest, digest_of_bytes
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


def test_archives_are_opened_together_once_and_leave_their_folder_as_it_is(tmp_path, monkeypatch):
    pack(tmp_path / "a.tar.xz", FILES)
    pack(tmp_path / "b.tar.xz", {"run-2/recipe.toml": b""})
    before, reads, read = sorted(tmp_path.iterdir()), [], Path.read_bytes
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda one: reads.append(one.name) or read(one))
        opened = unpacked(tmp_path)
        assert unpacked(tmp_path) == opened
    assert (reads.count("a.tar.xz"), reads.count("b.tar.xz")) == (1, 1)
    assert {str(path.relative_to(opened)) for path in opened.rglob("*.*")} == {*FILES, "run-2/recipe.toml"}
    assert sorted(tmp_path.iterdir()) == before
    assert packed_place(opened / "run-0").parts[-2:] == (tmp_path.name, "run-0")
    assert packed_place(tmp_path / "run-0") is None
    pack(tmp_path / "b.tar.xz", {})
    assert not (unpacked(tmp_path) / "run-2").exists(), "what was packed anew is opened anew"


def written(path, *files, link=False):
    """An archive of these names and contents, listed beside it."""
    with tarfile.open(path, "w:xz", format=tarfile.PAX_FORMAT) as opened:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            opened.addfile(member, io.BytesIO(content))
    (path.parent / SUMS).write_text(f"{digest(path)}  {path.name}\n")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@each_row(
    "damage",
    [
        flipped,
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: (path.parent / SUMS).unlink(),
        lambda path: written(path, ("run-0/recipe.toml", b""), link=True),
        *(lambda path, name=name: written(path, (name, b"")) for name in (".", "../out.txt", "C:/x", "a\\b", "a\nb")),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path, damage):
    pack(path := tmp_path / "a.tar.xz", FILES)
    damage(path)
    with pytest.raises(CheckpointError, match=r"a\.tar\.xz"):
        list(read_archive(path))
    assert archives_in(tmp_path) == [path]


def test_a_name_that_this_system_does_not_take_is_refused(tmp_path):
    path, name = tmp_path / "a.tar.xz", f"{300 * 'x'}/recipe.toml"
    written(path, (name, b"{}"), (SUMS, f"{digest_of_bytes(b'{}')}  {name}\n".encode()))
    (tmp_path / SUMS).write_text(f"{digest_of_bytes(path.read_bytes())}  a.tar.xz\n")
    with pytest.raises(CheckpointError, match=r"a\.tar\.xz: 'x+', .* 312 characters"):
        unpacked(tmp_path)


def test_any_name_that_any_system_takes_is_kept(tmp_path):
    files = {f"run-é{'y' * 120}/a\u2028b/{'x' * 90}.json": b"{}", "of \x1c mine": b"1"}
    pack(tmp_path / "b.tar.xz", files)
    assert dict(read_archive(tmp_path / "b.tar.xz")) == files
    for name in ("a\nb", "a\0b", "a\\b", "C:/x", "../x", "/x", ""):
        with pytest.raises(CheckpointError, match="name"):
            pack(tmp_path / "c.tar.xz", {name: b""})
