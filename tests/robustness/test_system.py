"""Faults of the machine: disks that are full, read-only or gone, no more files, processes that are stopped.

File systems are real ones of one or a few megabytes in memory; where none may be mounted these tests are skipped.
"""

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
from bntt.runs.directory import new_run_directory
from bntt.runs.measure import measure
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.train import train_run
from tests import fakes
from tests.robustness.user import SMALL, bntt, trained
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


def test_a_full_disk_leaves_what_was_there(disk):
    place = disk("1m")
    path = place / "x.safetensors"
    write_checkpoint(path, {"w": torch.ones(1000)}, {"epoch": 1})
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
        write_checkpoint(path, {"w": torch.ones(1 << 20)}, {"epoch": 2})
    assert read_checkpoint(path).facts == {"epoch": 1}
    assert [file.name for file in place.iterdir()] == [path.name]
    path.unlink()
    (place / "full").write_bytes(bytes((1 << 20) - 40_000))
    flags = [*SMALL[:-2], "-s", "network.width=0.5", "-s", "train.batch_size=900"]
    assert bntt("train", "demo", *flags, "--root", place).code == 5
    assert not [*place.rglob("*.tmp"), *place.rglob("step-*")]


def test_a_run_directory_that_becomes_read_only(disk, capsys):
    place = disk("16m")
    run = trained(place)
    assert bntt("evaluate", run, "--draws", "1").code == 0
    before = (run / "evaluation.json").read_bytes()
    read_only(place)
    assert cli.main(["evaluate", str(run), "--draws", "1"]) == 5
    said = capsys.readouterr()
    assert "test accuracy" in said.out, "what was measured is shown"
    assert "evaluation.json" in said.err
    assert (run / "evaluation.json").read_bytes() == before
    for folder in (place, place / "new"):  # asked for, it is refused at once; and so is what Python would lose
        assert cli.main(["evaluate", str(run), "--draws", "1", "--out", str(folder)]) == 5
        said = capsys.readouterr()
        assert (said.out, str(place) in said.err) == ("", True)
    with pytest.raises(PermissionError):
        measure("evaluate", run)
    assert bntt("train", run, "--resume").code == 5


def test_a_run_directory_that_goes_away(tmp_path):
    of, run = recipe(train={"epochs": 3}), new_run_directory("gone", tmp_path)

    def removed_on_the_way():
        for record in train_run(of, parts(of), run):
            if isinstance(record, EpochResult):
                shutil.rmtree(run.path)

    with pytest.raises(OSError, match="gone"):
        removed_on_the_way()
    assert not run.path.exists()


def test_a_data_folder_that_cannot_be_written(disk, tmp_path, monkeypatch):
    source = fakes.write_mnist(tmp_path / "mnist")
    prepare = ["data", "prepare", "mnist", "--from", source, "--allow-modified-data"]
    place = disk("1m")
    monkeypatch.setenv("BNTT_DATA", str(place))
    assert bntt(*prepare).code == 0
    read_only(place)
    assert bntt("data", "verify", "mnist").code == 0
    assert bntt(*prepare).code == 5
    full = disk("16k")
    monkeypatch.setenv("BNTT_DATA", str(full))
    assert bntt(*prepare).code == 5
    assert not list(full.iterdir())


def test_no_more_files_can_be_opened(tmp_path):
    write_whole(tmp_path / "x", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EMFILE):
            write_whole(tmp_path / "x", b"new")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"x": b"old"}


def test_a_process_that_was_stopped_goes_on(tmp_path):
    command = [sys.executable, "-m", "bntt", "train", "demo", *SMALL, "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT):
            os.kill(process.pid, number)
        rest, error = process.communicate(timeout=600)
    assert (process.returncode, "test accuracy" in rest) == (0, True), error
