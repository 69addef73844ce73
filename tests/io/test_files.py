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
from bntt.io.lock import RunLockedError, hold_run


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
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


def test_links_and_pipes_stay_what_they_are(tmp_path):
    target, link, pipe = tmp_path / "real" / "target", tmp_path / "link", tmp_path / "pipe"
    target.parent.mkdir()
    link.symlink_to(target)
    for content in (b"new", b"newer"):  # at first it leads nowhere
        write_whole(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"pipe could not be written, .* a device or a pipe: name a file"):
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


def test_json_is_read_as_it_was_written_or_refused(tmp_path):
    path = tmp_path / "x.json"
    assert find_object(path) is None
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]}
    assert path.read_text().endswith("}\n")
    write_json_lines(path, [{"a": 1}, {"a": 2}])
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
    for content in (b"{", b"\xff", b"[1]"):
        path.write_bytes(content)
        assert find_object(path) is None, content
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deep"):
        read_json(path)


def loss_of(values):
    return values["loss"]


def test_a_cell_comes_back_for_its_own_settings_only(tmp_path):
    path, settings = tmp_path / "cell.json", {"steps": 10, "data": {"augment": ("flip",)}}
    assert read_cell(path, settings, loss_of) is None
    write_cell(path, settings, {"loss": 0.5})
    assert read_cell(path, settings, loss_of) == 0.5
    assert list(json.loads(path.read_text())) == ["settings", "loss"]
    write_cell(path, {"steps": 10, "images": 100, "seed": 0}, {"loss": 0.5})
    with pytest.raises(OtherSettingsError, match=r"cell.json was .* settings \(images, rate, steps differ\): .* --out"):
        read_cell(path, {"steps": 20, "images": 50, "seed": 0, "rate": 1.0}, loss_of)
    for text in ("", "[]", "{}", '{"settings": {}}', '{"settings": 1, "loss": 1}', "3"):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"cell.json is damaged .*: delete it, and it is computed again"):
            read_cell(path, {}, loss_of)


def test_one_process_works_in_a_folder_of_cells(tmp_path):
    place = tmp_path / "new" / "cells"
    with hold_run(place), pytest.raises(RunLockedError), hold_run(place):
        raise AssertionError("it is held")


def read_costs(source):
    return read_named(source, "analysis/energy/cost_tables", "table of costs", 100)


def test_toml_is_read_by_name_and_by_path(tmp_path):
    assert read_costs("digital-45nm")["kind"] == "digital"
    (tmp_path / "mine.toml").write_text("a = 1\n", encoding="utf-8-sig")
    assert read_costs(tmp_path / "mine.toml") == {"a": 1}
    assert "demo" in names_in("runs/recipes")
    assert unknown_key("zzz", ["seed", "data"]) == "unknown key; known keys: seed, data"


def test_toml_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TomlError, match="no table of costs 'digital-45n': did you mean 'digital-45nm'"):
        read_costs("digital-45n")
    mine = tmp_path / "mine.toml"
    for content, message in (
        (b"a = ", "is not TOML"),
        (b"a = '\xff'", "is not UTF-8"),
        (b"#" * 101, "has 101 bytes, at most 100 are read"),
    ):
        mine.write_bytes(content)
        with pytest.raises(TomlError, match=message):
            read_costs(mine)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TomlError, match="give a file, or one of"):
        read_costs(tmp_path / "pipe")
    for text in (f"a = {'[' * 5000}{']' * 5000}", "a." * 5000 + "b = 1", f"a = {'9' * 5000}", "x.a.b." * 9 + "c = 1"):
        mine.write_text(text)
        with pytest.raises(TomlError, match=r"mine.toml is not TOML: (tables or lists nested|Exceeds|Invalid)"):
            read_named(mine, "runs/recipes", "recipe", 1 << 20)


def test_only_files_that_fit_are_read(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(DataError, match="does not exist"):
        read_file(path)
    with pytest.raises(DataError, match="it is no file, but a folder"):
        read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is no file"):
        read_file(tmp_path / "pipe")
    path.write_bytes(b"12345")
    assert read_file(path, 5) == read_file(path) == b"12345"
    with pytest.raises(DataError, match="has 5 bytes, at most 4 are read"):
        read_file(path, 4)


def test_the_last_name_of_a_path_of_any_system():
    assert [last_name(path) for path in ("/a/b/", "C:\\mine\\cifar10")] == ["b", "cifar10"]
