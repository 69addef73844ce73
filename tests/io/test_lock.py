"""One process per run directory: who holds it is said, and nothing that a dead process leaves is in the way."""

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
import threading

import filelock
import pytest

from bntt.io import lock
from bntt.io.lock import RunLockedError, hold_run
from tests.rows import each_row

HOLD = """
import sys
from pathlib import Path
from bntt.io.lock import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds ``tmp_path`` until its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def left(folder):
    return sorted(file.name for file in folder.iterdir())


def refusal(folder):
    with pytest.raises(RunLockedError) as caught, hold_run(folder):
        pass
    return str(caught.value)


def test_another_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    assert json.loads((tmp_path / "lock.json").read_text()) == {"pid": holder.pid, "host": platform.node()}
    assert f"{tmp_path} is held by process {holder.pid} on {platform.node()}" in refusal(tmp_path)
    with hold_run(tmp_path / "other"):
        pass
    holder.stdin.close()
    assert holder.wait(60) == 0
    assert left(tmp_path) in (["other"], ["lock", "other"])  # as filelock likes
    with hold_run(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_a_killed_holder_is_no_obstacle(tmp_path, holder):
    holder.kill()
    holder.wait(60)
    assert left(tmp_path) == ["lock", "lock.json"]
    with hold_run(tmp_path):
        assert f"process {os.getpid()} " in refusal(tmp_path)


def test_what_the_file_says_does_not_decide(tmp_path):
    """Not even where its process lives: it may be another one, of the same number."""
    (tmp_path / "lock").write_text("x")
    (tmp_path / "lock.json").write_text(json.dumps({"pid": os.getppid(), "host": platform.node()}))
    with hold_run(tmp_path):
        for damaged in ("{", "[]", '{"pid": 1}', ""):
            (tmp_path / "lock.json").write_text(damaged)
            assert "is held by another process: " in refusal(tmp_path)
        (tmp_path / "lock.json").unlink()
        assert "is held by another process: " in refusal(tmp_path)


@pytest.fixture
def held(monkeypatch):
    """Locks that are not released by being forgotten."""
    taken, make = [], lock.FileLock
    monkeypatch.setattr(lock, "FileLock", lambda *given, **how: taken.append(make(*given, **how)) or taken[-1])
    return taken


@each_row("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_it_is_released_after_any_end_by_any_thread(error, tmp_path, held):
    with pytest.raises(error), hold_run(tmp_path / "new" / "run"):
        raise error
    assert left(tmp_path / "new" / "run") in ([], ["lock"])  # as filelock likes
    holding = hold_run(tmp_path / "new" / "run")
    holding.__enter__()
    thread = threading.Thread(target=holding.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with hold_run(tmp_path / "new" / "run"), hold_run(tmp_path):
        assert held


def test_a_directory_that_goes_away_meanwhile_hides_no_error(tmp_path):
    holding = hold_run(tmp_path / "run")
    holding.__enter__()
    shutil.rmtree(tmp_path / "run")
    assert not holding.__exit__(None, None, None)


def test_a_directory_that_cannot_be_written_to(tmp_path, monkeypatch):
    def read_only(*given, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for owner, name in ((lock, "write_json"), (filelock.FileLock, "acquire")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, read_only)
            with pytest.raises(OSError, match="Read-only"), hold_run(tmp_path):
                pass
        with hold_run(tmp_path):  # it was not kept
            pass
