"""Files: whole or not at all, JSON in them, their digests; cells of a long computation; TOML."""

import errno
import json
import os
from pathlib import Path

import pytest

from bntt.io import files
from bntt.io.checkpoint import CheckpointError, OtherSettingsError, read_cell, write_cell
from bntt.io.errors import DataError
from bntt.io.files import (
    TomlError,
    digest,
    digest_of_bytes,
    digest_of_text,
    digest_of_values,
    find_object,
    flatten,
    last_name,
    names_in,
    read_file,
    read_json,
    read_named,
    sync_folder,
    unknown_key,
    write_json,
    write_json_lines,
    write_whole,
)
from tests.rows import each_row


@each_row("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_every_failing_call_leaves_the_old_file(tmp_path, monkeypatch, code):
    """R4: the k-th call to the system that writing makes fails; the old file is there, or the new one whole."""
    path = tmp_path / "file"
    for k in range(1, 8):
        write_whole(path, b"old")
        made = 0

        def failing(function, k=k):
            def called(*arguments, **options):
                nonlocal made
                made += 1
                if made == k:
                    raise OSError(code, os.strerror(code))
                return function(*arguments, **options)

            return called

        with monkeypatch.context() as patched:
            for owner, name in ((Path, "open"), (os, "fsync"), (Path, "read_bytes"), (Path, "replace"), (os, "open")):
                patched.setattr(owner, name, failing(getattr(owner, name)))
            found = None
            try:
                write_whole(path, b"new")
            except OSError as error:
                found = error.errno
        assert found == (code if made >= k else None), k
        assert path.read_bytes() in ((b"new",) if found is None else (b"old", b"new")), k
        assert [p.name for p in tmp_path.iterdir()] == ["file"]


def full(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_not_synced_and_read_again_as_it_was_written_does_not_count(tmp_path, monkeypatch):
    write_whole(path := tmp_path / "file", b"old")
    for owner, name, failing in ((os, "fsync", full), (Path, "read_bytes", lambda self: b"something else")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, failing)
            with pytest.raises(OSError, match="file could not be written"):
                write_whole(path, b"new")
        assert path.read_bytes() == b"old"


def test_links_and_pipes_stay_what_they_are(tmp_path):
    target, link, pipe = tmp_path / "real" / "target", tmp_path / "link", tmp_path / "pipe"
    target.parent.mkdir()
    link.symlink_to(target)
    for content in (b"new", b"newer"):  # at first it leads nowhere
        write_whole(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"pipe could not be written"):
        write_whole(pipe, b"new")
    assert pipe.is_fifo()


def test_windows_syncs_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "name", "nt")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("Windows cannot open a folder"))
    sync_folder(tmp_path)


def test_digests_are_sha_256_whatever_the_order_of_keys(tmp_path):
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x") == digest_of_bytes(b"abc") == digest_of_text("abc") == expected
    assert digest(tmp_path / "x", "md5") == "900150983cd24fb0d6963f7d28e17f72"
    one, again, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 1})
    assert digest_of_values(one) == digest_of_values(again) != digest_of_values(other)
    assert len(digest_of_text("\udcff")) == 64, "a file name that is no Unicode"
    assert [last_name(path) for path in ("/a/b/", "C:\\mine\\cifar10")] == ["b", "cifar10"]


def test_json_is_read_as_it_was_written_or_refused(tmp_path):
    path = tmp_path / "x.json"
    assert find_object(path) is None
    write_json(path, {"a": [1, None]})
    assert read_json(path) == find_object(path) == {"a": [1, None]}
    assert path.read_text().endswith("}\n")
    write_json_lines(path, [{"a": 1}, {"a": 2}])
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
    for content in (b"{", b"\xff", b"[1]", b"[" * 100_000, b'{"a":' * 100_000, b""):
        path.write_bytes(content)
        assert find_object(path) is None, content
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [2]}, "/") == {"a/b/c": 1, "e": [2]}


def loss_of(values):
    return values["loss"]


def test_a_cell_comes_back_for_its_own_settings_only(tmp_path):
    path, settings = tmp_path / "cell.json", {"steps": 10, "data": {"augment": ("flip",)}}
    assert read_cell(path, settings, loss_of) is None
    write_cell(path, settings, {"loss": 0.5})
    assert read_cell(path, settings, loss_of) == 0.5
    assert list(json.loads(path.read_text())) == ["settings", "loss"]
    write_cell(path, {"steps": 10, "images": 100, "seed": 0}, {"loss": 0.5})
    with pytest.raises(OtherSettingsError, match=r"cell.json .*images, rate, steps"):
        read_cell(path, {"steps": 20, "images": 50, "seed": 0, "rate": 1.0}, loss_of)
    for text in ("", "[]", "{}", '{"settings": {}}', '{"settings": 1, "loss": 1}', "3"):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"cell.json"):
            read_cell(path, {}, loss_of)


def read_costs(source):
    return read_named(source, "analysis/energy/cost_tables", "table of costs", 20_000)


def test_toml_is_read_by_name_and_by_path(tmp_path):
    assert read_costs("digital-45nm")["kind"] == "digital"
    (tmp_path / "mine.toml").write_text("a = 1\n", encoding="utf-8-sig")
    assert read_costs(tmp_path / "mine.toml") == {"a": 1}
    assert "demo" in names_in("runs/recipes")
    assert unknown_key("zzz", ["seed", "data"]).endswith("seed, data")


@each_row(
    "content",
    [
        b"a = ",
        b"a = '\xff'",
        b"#" * 20_001,
        f"a = {'[' * 5000}{']' * 5000}".encode(),
        b"a." * 5000 + b"b = 1",
        b"a = " + b"9" * 5000,
        b"x.a.b." * 9 + b"c = 1",
    ],
)
def test_toml_that_cannot_be_read_is_named(content, tmp_path):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(TomlError, match=r"mine\.toml"):
        read_costs(tmp_path / "mine.toml")


def test_no_toml_names_what_is_near(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "recipe.toml").touch()
    for source, named in ((tmp_path / "pipe", "pipe"), ("digital-45n", "'digital-45nm'"), (tmp_path, "recipe.toml")):
        with pytest.raises(TomlError, match=named):
            read_named(source, "analysis/energy/cost_tables", "recipe", 100)


def test_only_files_that_fit_are_read(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    assert read_file(path, 5) == read_file(path) == b"12345"
    for place, most, named in (
        (tmp_path / "none", None, "does not exist"),
        (tmp_path, None, "folder"),
        (tmp_path / "pipe", None, "no file"),
        (path, 4, "5 bytes, at most 4"),
    ):
        with pytest.raises(DataError, match=f"{place.name} .*{named}"):
            read_file(place, most)
