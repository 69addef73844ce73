"""Run directories and checkpoints that were changed after the training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

from bntt.training.checkpoint import read_checkpoint, write_checkpoint
from tests.faults.case import Case, adder
from tests.faults.user import bntt, trained

CASES: list[Case] = []
case = adder(CASES)


def checkpoint(what: str, change: Callable[[dict[str, torch.Tensor]], object], expect: str) -> None:
    def do(tmp: Path) -> str:
        run = trained(tmp)
        path = run / "checkpoints" / "best.safetensors"
        tensors, facts = read_checkpoint(path)
        change(tensors)
        write_checkpoint(path, tensors, facts)
        return bntt("evaluate", str(run))

    case(41, what, expect)(do)


def rewritten(fault: int, what: str, verb: str, file: str, old: str, new: str, expect: str) -> None:
    """A file of a run directory that is edited after the training."""

    def do(tmp: Path) -> str:
        run = trained(tmp)
        path = run / file
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text), encoding="utf-8")
        return bntt("evaluate", str(run)) if verb == "evaluate" else bntt("train", str(run), "--resume")

    case(fault, what, expect)(do)


RECIPE, ENVIRONMENT = "recipe.toml", "environment.json"
rewritten(
    40,
    "an edited recipe, resumed",
    "resume",
    RECIPE,
    "lr = 0.3",
    "lr = 0.1",
    r"exit 4: .*train.lr is 0.1, it was .* 0.3",
)
rewritten(
    40, "an edited recipe, measured", "evaluate", RECIPE, "leak = 0.95", "leak = 0.5", r"exit 4: .*network.leak is 0.5"
)
rewritten(
    40, "more draws in a run's recipe, measured (allowed)", "evaluate", RECIPE, "draws = 1", "draws = 2", r"exit 0"
)
rewritten(
    35,
    "built-in data that is not what a run was trained on",
    "resume",
    ENVIRONMENT,
    '"train": "[0-9a-f]{12}',
    '"train": "000000000000',
    r"exit 4: .*was trained on other data than this",
)
rewritten(
    35,
    "a damaged environment.json",
    "evaluate",
    ENVIRONMENT,
    r"(?s)\A.*\Z",
    "[",
    r"exit 4: .*environment.json cannot be",
)


def harmed(what: str, harm: Callable[[Path], object], verb: str, file: str, expect: str) -> None:
    """A checkpoint of a run that is damaged or gone."""

    def do(tmp: Path) -> str:
        run = trained(tmp)
        harm(next((run / "checkpoints").glob(file)))
        return bntt("evaluate", str(run)) if verb == "evaluate" else bntt("train", str(run), "--resume")

    case(66, what, expect)(do)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def flip(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


BEST, LAST = "best.safetensors", "step-*"
for size in (0, 10, 1000, -1):
    harmed(
        f"the best checkpoint cut to {size} bytes", lambda p, s=size: cut(p, s), "evaluate", BEST, r"exit 4: .*damaged"
    )
harmed("one flipped bit in the best", flip, "evaluate", BEST, r"exit 4: .*is damaged: its bytes are not those")
harmed("one flipped bit in the only checkpoint to resume", flip, "resume", LAST, r"exit 4: .*no checkpoint can be used")
harmed("no checkpoint to resume", Path.unlink, "resume", LAST, r"exit 4: .*there is nothing to resume")
harmed("no best checkpoint, resumed", Path.unlink, "resume", BEST, r"exit 4: .*lost; --forget-best goes on")
harmed("no best checkpoint, measured", Path.unlink, "evaluate", BEST, r"exit 4: .*does not exist")

READOUT, FC = "model.network.readout.synapse.weight", "model.network.blocks.fc1.norm.gamma"
checkpoint("a checkpoint with a key too few", lambda t: t.pop(READOUT), r"exit 4: .*readout.synapse.weight is missing")
checkpoint("a key too many", lambda t: t.update({"model.x": torch.zeros(1)}), r"exit 4: .*x is not in the model")
checkpoint("half precision", lambda t: t.update({READOUT: t[READOUT].half()}), r"exit 4: .*torch.float16")
checkpoint("a transposed weight", lambda t: t.update({READOUT: t[READOUT].T.contiguous()}), r"exit 4: .*the model has")
checkpoint("a NaN", lambda t: t[FC].fill_(float("nan")), r"exit 4: .*not finite")
