"""Run directories and checkpoints that were changed after the training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

from bntt.io.checkpoint import read_checkpoint, write_checkpoint
from tests.faults.case import Case, adder
from tests.faults.user import bntt, trained

CASES: list[Case] = []
case = adder(CASES)


def harmed(what: str, harm: Callable[[Path], object], verb: str, file: str, expect: str, fault: int = 66) -> None:
    """A file of a run that is changed, damaged or gone after the training."""

    def do(tmp: Path) -> str:
        run = trained(tmp)
        harm(next(run.glob(file)))
        return bntt("evaluate", str(run)) if verb == "evaluate" else bntt("train", str(run), "--resume")

    case(fault, what, expect)(do)


def checkpoint(what: str, change: Callable[[dict[str, torch.Tensor]], object], expect: str, fault: int = 41) -> None:
    def rewrite(path: Path) -> None:
        tensors, facts = read_checkpoint(path)
        change(tensors)
        write_checkpoint(path, tensors, facts)

    harmed(what, rewrite, "evaluate", BEST, expect, fault)


def rewritten(fault: int, what: str, verb: str, file: str, old: str, new: str, expect: str) -> None:
    """A file of a run directory that is edited after the training."""

    def edit(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text), encoding="utf-8")

    harmed(what, edit, verb, file, expect, fault)


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


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def flip(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


BEST, LAST = "checkpoints/best.safetensors", "checkpoints/step-*"
for size in (0, 10, 1000, -1):
    harmed(
        f"the best checkpoint cut to {size} bytes", lambda p, s=size: cut(p, s), "evaluate", BEST, r"exit 4: .*damaged"
    )
harmed("one flipped bit in the best", flip, "evaluate", BEST, r"exit 4: .*is damaged: its bytes are not those")
harmed("one flipped bit in the only checkpoint to resume", flip, "resume", LAST, r"exit 4: .*no checkpoint can be used")
harmed("no checkpoint to resume", Path.unlink, "resume", LAST, r"exit 4: .*nothing to resume")
harmed("no best checkpoint, resumed", Path.unlink, "resume", BEST, r"exit 4: .*lost; --forget-best resumes")
harmed("no best checkpoint, measured", Path.unlink, "evaluate", BEST, r"exit 4: .*does not exist")

READOUT, FC = "model.network.readout.synapse.weight", "model.network.blocks.fc1.norm.gamma"
checkpoint("a checkpoint with a key too few", lambda t: t.pop(READOUT), r"exit 4: .*readout.synapse.weight is missing")
checkpoint("a key too many", lambda t: t.update({"model.x": torch.zeros(1)}), r"exit 4: .*x is not in the model")
checkpoint("half precision", lambda t: t.update({READOUT: t[READOUT].half()}), r"exit 4: .*torch.float16")
checkpoint("a transposed weight", lambda t: t.update({READOUT: t[READOUT].T.contiguous()}), r"exit 4: .*the model has")
checkpoint("a NaN", lambda t: t[FC].fill_(float("nan")), r"exit 4: .*not finite")
VARIANCE = "model.network.blocks.fc1.norm.running_var"
checkpoint("a variance below 0", lambda t: t[VARIANCE].fill_(-1), r"exit 4: .*holds a negative variance", 56)
checkpoint("a variance of NaN", lambda t: t[VARIANCE].fill_(float("nan")), r"exit 4: .*not finite", 56)
checkpoint("a variance of 0 (allowed: a channel that was silent)", lambda t: t[VARIANCE][:, 0].fill_(0), r"exit 0", 56)
for steps, which in ((1, "fewer"), (3, "more")):
    rewritten(
        38 if steps == 1 else 39,
        f"a run's recipe with {which} steps, measured",
        "evaluate",
        RECIPE,
        "num_steps = 2",
        f"num_steps = {steps}",
        rf"exit 4: .*network.num_steps is {steps}, it was trained with 2",
    )
case(39, "a run at more steps, without a word of what they have", r"exit 2: .*--longer")(
    lambda tmp: bntt("evaluate", str(trained(tmp)), "--num-steps", "3")
)
case(38, "a run at fewer steps, on purpose", r"exit 0")(
    lambda tmp: bntt("evaluate", str(trained(tmp)), "--num-steps", "1", "--images", "50")
)


def formatted(version: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(re.sub(rb'("format": ?")2"', rb"\g<1>" + version.encode() + b'"', path.read_bytes(), count=1))

    return write


harmed(
    "a checkpoint of a later format", formatted("3"), "evaluate", BEST, r"exit 4: .*has format 3, this .* reads 2", 43
)
harmed("a checkpoint of an earlier format", formatted("1"), "evaluate", BEST, r"exit 4: .*has format 1, this", 43)


def linked(to: str) -> Callable[[Path], object]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(to)

    return link


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


harmed("a folder in place of the best checkpoint", as_folder, "evaluate", BEST, r"exit 4: .*cannot be read", 68)
harmed("a link to nowhere in its place", linked("/nowhere"), "evaluate", BEST, r"exit 4: .*does not exist", 68)
harmed(
    "a link to another file in its place", linked("/etc/passwd"), "evaluate", BEST, r"exit 4: .*not a checkpoint", 68
)
harmed(
    "a folder in place of the latest checkpoint", as_folder, "resume", LAST, r"exit 4: .*no checkpoint can be used", 68
)
