"""What a user does: types a command, calls Python, trains, prepares data, shows images to a network."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from bntt.cli import main as cli
from bntt.data.samples import DATASETS
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests import fakes

SMALL = ["-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=1", "-s", "train.batch_size=900"]


class Came(NamedTuple):
    """What came of it."""

    code: int
    said: str
    """The errors of a command that failed, else its output."""


Do = Callable[[Path], Came]
"""Does something in a folder."""


class Fault(NamedTuple):
    """A row of the table; rows of one number are its variants."""

    number: int
    """In the project's list."""
    what: str
    do: Do
    code: int
    named: str = ""
    """What the message names: a key, an argument, a file."""

    def wrong(self) -> str:
        """Do it in a folder and a data cache of its own; "" if it ends as it must."""
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BNTT_DATA=f"{folder}/cache"):
            came = self.do(Path(folder))
        as_it_must = came.code == self.code and self.named in came.said and "Traceback" not in came.said
        return "" if as_it_must else f"{self.number}, {self.what}: {came}, not {self.code} naming {self.named!r}"


def bntt(*args: object) -> Came:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([str(arg) for arg in args])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Came(code, " ".join(re.sub("[│╭╮╰╯─]+", " ", (err if code else out).getvalue()).split()))


def command(line: str) -> Do:
    """A command line to run later; TMP is its folder."""
    return lambda tmp: bntt(*line.replace("TMP", str(tmp)).split())


def training(*settings: str) -> Do:
    """A small training with these settings, to run later."""
    flags = [part for setting in settings for part in ("-s", setting)]
    return lambda tmp: bntt("train", "demo", *SMALL, *flags, "--root", tmp)


def shell(line: str) -> Do:
    """A line of a shell to run later: ``bntt`` is the command, TMP the folder; what it says is its standard error."""

    def do(tmp: Path) -> Came:
        words = re.sub(r"\bbntt\b", f"{sys.executable} -m bntt", line, count=1).replace("TMP", str(tmp))
        done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
        return Came(done.returncode, done.stderr.strip())

    return do


def model(seed: int = 0) -> SpikingClassifier:
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=seed)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


@functools.cache
def _original(settings: tuple[str, ...]) -> tempfile.TemporaryDirectory[str]:
    """Where a run of one epoch lies, trained once for all that begins with it."""
    root = tempfile.TemporaryDirectory()
    came = training("evaluate.draws=1", *settings)(Path(root.name))
    assert came.code == 0, came
    return root


def trained(tmp: Path, *settings: str) -> Path:
    """The directory of a run of one epoch, to do anything with."""
    return Path(shutil.copytree(Path(_original(settings).name) / "demo", tmp / "demo"))


def prepare(name: str, source: Path, *flags: str) -> Came:
    """Prepare a dataset, of which CIFAR-10 has sixty images."""
    tiny = dataclasses.replace(DATASETS["cifar10"], read=fakes.read_tiny("cifar10"))
    with patch.dict(DATASETS, cifar10=tiny):
        return bntt("data", "prepare", name, "--from", source, *flags)
