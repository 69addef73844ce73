"""What a user does: types a command, calls Python, trains, prepares data, shows images to a network."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bntt.cli import main as cli
from bntt.data import catalog
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests import fakes

SMALL = ["-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=1", "-s", "train.batch_size=900"]


def bntt(*args: str) -> str:
    """Run a command line in this process: ``exit N: what stderr says``, or the last line where all went well."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(args))
        except SystemExit as stop:
            code = stop.code
    text = re.sub(r"[│╭╮╰╯─]+|-{3,}", " ", err.getvalue())
    return f"exit {code}: {' '.join(text.split())}" if code else "exit 0"


def called(do: Callable[[], object]) -> str:
    """Call Python: ``Error: message``, or what came back."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = do()
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
    said = "".join(f" ({w.category.__name__}: {w.message})" for w in caught)
    return f"ok: {value}{said}"


def model(**options) -> SpikingClassifier:
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, **options)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


class Once:
    """A loader of one batch."""

    def __init__(self, *batch: object) -> None:
        self.batch = batch if len(batch) > 1 else batch[0]

    def __iter__(self) -> Iterator[object]:
        yield self.batch


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def classified(make: Callable[[], torch.Tensor]) -> Callable[[Path], str]:
    """Show a network images that are made when the case is done."""
    return lambda tmp: called(lambda: list(model()(make()).shape))


def shell(command: str) -> str:
    """A command line in a shell, with the code it ends with and the whole of its standard error."""
    command = re.sub(r"\bbntt\b", f"{sys.executable} -m bntt", command, count=1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    return f"exit {done.returncode}: {done.stderr.decode()}".strip()


@functools.cache
def _original(settings: tuple[str, ...]) -> tempfile.TemporaryDirectory[str]:
    """Where a run of one epoch lies, trained once for all that begins with it."""
    root = tempfile.TemporaryDirectory()
    flags = [part for setting in ("evaluate.draws=1", *settings) for part in ("-s", setting)]
    bntt("train", "demo", *SMALL, *flags, "--root", root.name)
    return root


def trained(tmp: Path, *settings: str) -> Path:
    """The directory of a run of one epoch, to do anything with."""
    return Path(shutil.copytree(Path(_original(settings).name) / "demo", tmp / "demo"))


@contextlib.contextmanager
def tiny_cifar():
    """CIFAR-10 with 60 records, so that a test can write it."""
    real = catalog.DATASETS["cifar10"]
    catalog.DATASETS["cifar10"] = dataclasses.replace(real, read=fakes.read_tiny("cifar10"))
    try:
        yield
    finally:
        catalog.DATASETS["cifar10"] = real


def prepare(name: str, source: Path, *flags: str) -> str:
    with tiny_cifar():
        return bntt("data", "prepare", name, "--from", str(source), *flags)
