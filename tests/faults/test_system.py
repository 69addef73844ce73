"""Faults of the machine: disks that are full, read-only or gone, no more files, processes that are stopped.

File systems are real ones of one or a few megabytes in memory; where none may be mounted these tests are skipped.
"""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from bntt.cli import main as cli
from bntt.io.checkpoint import read_checkpoint, write_checkpoint
from bntt.io.files import write_whole
from bntt.runs.measure import measure
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.train import train_run
from tests import fakes
from tests.faults.user import SMALL
from tests.runs.tiny import parts, recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """``disk("4m")`` mounts one of so many bytes; all are taken away at the end."""
    mounted = []

    def mount(size):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system may be mounted here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


def read_only(place):
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)


def test_a_full_disk_leaves_what_was_there(disk, capsys):
    place = disk("1m")
    path = place / "x.safetensors"
    write_checkpoint(path, {"w": torch.ones(1000)}, {"epoch": 1})
    with pytest.raises(OSError, match=r"bytes are needed, .* are free") as told:
        write_checkpoint(path, {"w": torch.ones(1 << 20)}, {"epoch": 2})
    assert told.value.errno == errno.ENOSPC
    assert read_checkpoint(path).facts == {"epoch": 1}
    assert [file.name for file in place.iterdir()] == [path.name]
    path.unlink()
    (place / "full").write_bytes(bytes((1 << 20) - 40_000))
    flags = [*SMALL[:-2], "-s", "network.width=0.5", "-s", "train.batch_size=900"]
    assert cli.main(["train", "demo", *flags, "--root", str(place)]) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert not list(place.rglob("*.tmp"))
    assert not list(place.rglob("step-*"))


def test_a_run_directory_that_becomes_read_only_or_goes_away(disk, tmp_path, capsys):
    place = disk("16m")
    assert cli.main(["train", "demo", *SMALL, "--root", str(place)]) == 0
    before = (place / "demo" / "evaluation.json").read_bytes()
    read_only(place)
    capsys.readouterr()
    assert cli.main(["evaluate", str(place / "demo"), "--draws", "1"]) == 5
    said = capsys.readouterr()
    assert "test accuracy" in said.out
    assert "Read-only file system" in said.err
    assert (place / "demo" / "evaluation.json").read_bytes() == before
    for folder in (place, place / "new"):  # asked for, it is refused at once; and so is what Python would lose
        assert cli.main(["evaluate", str(place / "demo"), "--draws", "1", "--out", str(folder)]) == 5
        said = capsys.readouterr()
        assert (said.out, f"because {place} is read-only" in said.err) == ("", True)
    with pytest.raises(PermissionError, match="read-only"):
        measure("evaluate", place / "demo")
    assert cli.main(["train", str(place / "demo"), "--resume"]) == 5

    from bntt.runs.directory import new_run_directory

    of, run = recipe(train={"epochs": 3}), new_run_directory("gone", tmp_path)
    with pytest.raises(OSError, match="gone"):
        _removed_on_the_way(train_run(of, parts(of), run), run.path)
    assert not run.path.exists()


def _removed_on_the_way(told, path):
    for record in told:
        if isinstance(record, EpochResult):
            shutil.rmtree(path)


def test_a_data_folder_that_cannot_be_written(disk, tmp_path, capsys, monkeypatch):
    source = fakes.write_mnist(tmp_path / "mnist")
    prepare = ["data", "prepare", "mnist", "--from", str(source), "--allow-modified-data"]
    place = disk("1m")
    monkeypatch.setenv("BNTT_DATA", str(place))
    assert cli.main(prepare) == 0
    read_only(place)
    assert cli.main(["data", "verify", "mnist"]) == 0
    assert cli.main(prepare) == 5
    full = disk("16k")
    monkeypatch.setenv("BNTT_DATA", str(full))
    assert cli.main(prepare) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert not list(full.iterdir())


@contextlib.contextmanager
def no_more_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_more_files_can_be_opened(tmp_path):
    path = tmp_path / "x"
    write_whole(path, b"old")
    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_process_that_was_stopped_goes_on(tmp_path):
    command = [sys.executable, "-m", "bntt", "train", "demo", *SMALL, "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT):
            os.kill(process.pid, number)
        rest, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert "before any update" in first
    assert "test accuracy" in rest
