"""A training in a process of its own, which may be stopped, starved or watched; and every bit of what is left of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.cli import main as cli
from bntt.io.checkpoint import read_checkpoint
from bntt.runs.directory import RunDirectory

SHARED = ("matplotlib.backends.backend_agg", "matplotlib.figure", "torch.utils.tensorboard")
SHARED += ("bntt.charts.files", "bntt.runs.open_run", "bntt.runs.training.train")
for module in SHARED:  # or every child would import them again
    import_module(module)


def start(args: list[str], log: Path, before: Callable[[], object] = lambda: None) -> int:
    """The number of a forked process that runs ``bntt args`` after ``before``, which may set traps in it."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it,
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup's this
        before()
        code = cli.main(args)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os._exit(code)


def ended(number: int) -> int:
    """The exit code of a process; minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def finished(args: list[str], log: Path, before: Callable[[], object] = lambda: None) -> int:
    """Start, and wait for the end; the log is of this process alone."""
    log.unlink(missing_ok=True)
    return ended(start(args, log, before))


def bound(memory: int) -> None:
    """Let the address space of this process grow by so many bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


class Stage(NamedTuple):
    """Where one small run is made again and again, and what one that is left alone comes to."""

    folder: Path
    train: list[str]
    expected: dict[str, str]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def anew(self, before: Callable[[], object] = lambda: None) -> int:
        """Train from the beginning; the exit code."""
        shutil.rmtree(self.run, ignore_errors=True)
        return finished(self.train, self.log, before)

    def resumed(self, before: Callable[[], object] = lambda: None) -> int:
        return finished(["train", str(self.run), "--resume"], self.log, before)

    def differs(self) -> str:
        """In which parts the run differs from one that was left alone."""
        return ", ".join(name for name, digest in outcome(self.run).items() if digest != self.expected[name])


RECIPE = """
data = { name = "fashion-mnist-bundled", augment = ["flip"], validation = 0.2 }
network = { name = "mlp", num_steps = 2 }
train = { epochs = EPOCHS, batch_size = 340, WAY }
evaluate = { draws = 1, batch_size = 500 }
checkpoint = { every_steps = 4, every_minutes = 1e6, last = 1 }
"""


@contextlib.contextmanager
def stage(way: str = "lr = 0.3", epochs: int = 2) -> Iterator[Stage]:
    """A recipe of twelve updates an epoch, and the outcome of a run of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipe = folder / "run.toml"
        recipe.write_text(RECIPE.replace("WAY", way).replace("EPOCHS", str(epochs)), encoding="utf-8")
        made = Stage(folder, ["train", str(recipe), "--root", str(folder)], {})
        if made.anew():
            raise RuntimeError(made.log.read_text())
        made.expected.update(outcome(made.run))
        yield made


def outcome(run: Path) -> dict[str, str]:
    """The last checkpoint, the best one, the metrics and the evaluation, but for seconds."""
    directory = RunDirectory(run)
    kept = {"last": directory.checkpoints.latest().checkpoint, "best": read_checkpoint(directory.best)}
    texts = {f"{name} facts": json.dumps(one.facts, sort_keys=True) for name, one in kept.items()}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in (directory.metrics, run / "evaluation.json")}
    timeless = {name: re.sub(r'"seconds": [^,}]+', "", text) for name, text in texts.items()}
    return timeless | {f"{name} tensors": digest(one.tensors) for name, one in kept.items()}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names and bytes."""
    whole = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        whole.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()
