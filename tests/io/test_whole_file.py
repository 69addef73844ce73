"""Files written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from bntt.io import whole_file
from bntt.io.whole_file import sync_folder, write_whole


@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_every_failing_call_leaves_the_old_file(tmp_path, monkeypatch, code, k):
    """R4: the k-th call to the system that writing makes fails; the old file is there, or the new one whole."""
    path = tmp_path / "file"
    write_whole(path, b"old")
    made = 0

    def failing(function):
        def called(*arguments, **options):
            nonlocal made
            made += 1
            if made == k:
                raise OSError(code, os.strerror(code))
            return function(*arguments, **options)

        return called

    for owner, name in ((Path, "open"), (os, "fsync"), (Path, "read_bytes"), (Path, "replace"), (os, "open")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    found = None
    try:
        write_whole(path, b"new")
    except OSError as error:
        found = error.errno
    monkeypatch.undo()
    assert found == (code if made >= k else None)
    assert path.read_bytes() in ((b"new",) if found is None else (b"old", b"new"))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_windows_syncs_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_file.os, "name", "nt")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("Windows cannot open a folder"))
    sync_folder(tmp_path)
