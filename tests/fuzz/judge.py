"""One case: drawn from its number, run on both paths, and judged.

Two right float32 paths may differ in two ways. A potential that lies at the threshold but for rounding fires in one of
them (a *tie*): a float64 run says how near the nearest potential came to its threshold, and a case that differs there
must agree once all thresholds are moved a little. And a gradient that is a small difference of large numbers is noise
in both: it may be as far from the float64 one as the plain path's own. Whatever is left is a difference.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bntt.engine.kernels import BackendError
from bntt.nn import CurrentBlock, SpikingBlock, SpikingNetwork
from bntt.nn.norms import TemporalNorm
from bntt.ops import folded as folded_ops
from bntt.ops import lif as lif_ops
from tests.fuzz.cases import Case, draw_case
from tests.fuzz.changes import global_hook
from tests.fuzz.conditions import choose, holding
from tests.fuzz.networks import Dice
from tests.fuzz.uses import Job, recorded

TIE = 1e-5
"""Nearer than this to its threshold, relative to the larger of the two, a potential is a tie."""
TOLERANCE = {"logits": 2e-5, "buffer": 2e-5, "grad": 1e-4, "seen": 1e-4, "trace": 2e-5, "sequence": 2e-5}
"""Of the largest value, by the first word of a record's name."""
NUDGES = 3
NOISE = 8
"""A gradient may be so many times as far from float64 as the plain path's of the same block."""
FLOOR = 1e-4
"""And so far from it, of the largest gradient, where the loss's own is about 1: a variance of 0 makes a hundred out
of a last digit, and batch statistics of two values leave next to nothing."""
NEARLY = 1e-3
"""A difference within so much of the largest gradient must still be there when the thresholds have moved a little."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """``kind``: same, tie, noise, raised (the same error), refused (a precision without kernels; what plain PyTorch
    refuses too) or different; of a worker also crashed, hung or mistaken."""

    of: str
    """Which kind of case it is."""
    case: int
    kind: str
    fused: bool
    what: str = ""


def judge(number: int, of: str = "ordinary") -> Verdict:
    """Run a case and say how it ended."""
    return Verdict(of, number, *_judged(number, of))


def _judged(number: int, of: str) -> tuple[str, bool, str]:
    kind = "same"
    fused = False
    for nudge in range(NUDGES + 1):
        case = draw_case(number, nudge, of)
        if breaks_onednn(case.drawn.net):
            return "not run", fused, ""
        ours, theirs = run(case, fused=True), run(case, fused=False)
        fused = ours.pop("fused", False) or fused
        if ours.get("error") is BackendError and case.conditions.precision != "fp32":
            return "refused", fused, ""
        if case.refuses and "error" in ours and "error" in run(case, fused=False, ours=True):
            return "refused", fused, ""
        wrong = differences(case, ours, theirs)
        if not wrong:
            return "raised" if "error" in ours else kind, fused, ""
        with margins() as nearest:
            exact = run(case, fused=False, double=True)
        if not differences(case, ours, theirs, exact):
            return "noise", fused, ""
        if nearest[0] <= TIE:
            kind = "tie"
        elif not differences(case, ours, theirs, exact, NEARLY):
            kind = "noise"  # if it goes away
        else:
            break
    return "different", fused, f"{', '.join(wrong)}\n{describe(case)}"


def breaks_onednn(net: torch.nn.Module) -> bool:
    """Whether PyTorch itself writes beyond its memory: of kernels of 1x1 that stride over few channels, which lie last,
    the gradient by oneDNN 3.12 does, where a processor has AVX2 alone."""
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    convolutions = [one for one in net.modules() if isinstance(one, torch.nn.Conv2d)]
    return any(one.kernel_size == (1, 1) and one.stride != (1, 1) and one.in_channels < 4 for one in convolutions)


def run(case: Case, *, fused: bool, ours: bool | None = None, double: bool = False) -> Record:
    """What one path makes of a case; ``ours``: whether it is the one that is judged, by default the fused one."""
    net = copy.deepcopy(case.drawn.net)
    net = net.double() if double else net
    how = case.conditions
    choose(net, "auto" if fused else "reference", how.events, how.recompute, how.precision if fused else "fp32")
    seen: list[Tensor] = []
    dice = Dice(case.number, "intrusion")
    if case.intrusion is not None:
        case.intrusion(dice, net, seen)
    job = Job(net, case.drawn, Dice(case.number, "inputs"), double, fused if ours is None else ours)
    everywhere = global_hook(dice, seen) if case.everywhere else nullcontext()
    fuses = False
    around = case.around(job, Dice(case.number, case.kind))
    with warnings.catch_warnings(action="ignore"), holding(how, fused=fused), everywhere, around, recorded(job):
        if fused:
            fuses = not net.plan((case.drawn.steps, case.drawn.batch, *case.drawn.place)).reason
        case.use(job)
    if fused:
        job.record["fused"] = fuses
    if seen:  # in order, whatever was seen in one call
        job.record["seen"] = torch.cat([value.flatten() for value in seen])
    return job.record


def differences(
    case: Case, ours: Record, theirs: Record, exact: Record | None = None, floor: float = FLOOR
) -> list[str]:
    """Names of what differs, with how much; with a float64 record, beyond what rounding makes of it."""
    if ours.get("error") is not theirs.get("error"):
        if _depends_on_nothing(ours, theirs):
            return []
        return [f"error: {_error(ours)} for {_error(theirs)}"]
    if case.conditions.precision != "fp32":
        return _rough_differences(case, ours, theirs)
    if ours.keys() != theirs.keys():
        return [f"only one has {', '.join(sorted(ours.keys() ^ theirs.keys()))}"]
    largest = max((_size(v) for k, v in theirs.items() if k.startswith("grad")), default=0.0)
    wrong = []
    for name, expected in theirs.items():
        if name == "message":
            continue
        found = ours[name]
        if name.endswith(" = stepped"):
            found, expected = ours[name.removesuffix(" = stepped")], theirs[name]
        noise = 0.0
        if exact is not None and name.startswith("grad"):
            noise = NOISE * _own_noise(name, theirs, exact) + floor * max(largest, 0.3)
        if name.startswith("grad") and _vanishes(case.drawn.net, name):
            noise += 1e-4 * largest
        if off := _off(name, found, expected, largest, noise):
            wrong.append(off)
    return wrong


def _off(name: str, found: Any, expected: Any, largest: float, noise: float) -> str:
    """ "" where the two agree."""
    if name.startswith("grad") and (found is None or expected is None):  # autograd knows of some that they are 0
        return "" if _size(found) == _size(expected) == 0 else f"{name}: {_size(found)} for {_size(expected)}"
    if not isinstance(found, Tensor):
        return "" if found == expected else f"{name}: {found} for {expected}"
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{name}: {found.dtype} {list(found.shape)} for {expected.dtype} {list(expected.shape)}"
    if "spikes of" in name or found.dtype == torch.bool:
        return "" if torch.equal(found, expected) else f"{name}: others"
    if found.numel() == 0:
        return ""
    allowed = TOLERANCE[name.split()[0]] * _size(expected) + 1e-7 + noise
    if name.startswith("grad"):
        allowed += 2e-7 * largest
    distance = _size(found - expected)
    return "" if distance <= allowed else f"{name}: off by {distance:.2g} of {_size(expected):.2g}"


def _rough_differences(case: Case, ours: Record, theirs: Record) -> list[str]:
    """Of bfloat16: all is finite; with ``bf16-grad`` the forward pass is the float32 one, and no γ's gradient in the
    last block knows of bfloat16."""
    wrong = [
        f"{k}: not finite"
        for k, v in ours.items()
        if isinstance(v, Tensor) and not v.isfinite().all() and theirs[k].isfinite().all()
    ]
    if case.conditions.precision == "bf16-grad":
        last = f"grad of blocks.{list(case.drawn.net.blocks)[-1]}.norm"
        kept = [k for k in ours if k.split()[0] in ("logits", "trace", "sequence", "buffer") or k.startswith(last)]
        largest = max((_size(v) for k, v in theirs.items() if k.startswith("grad")), default=0.0)
        wrong += [off for k in kept if (off := _off(k, ours[k], theirs[k], max(10.0, largest), 0.0))]
    return wrong


def _vanishes(net: SpikingNetwork, name: str) -> bool:
    """Whether a gradient is 0 but for rounding: of a constant that batch statistics take away."""
    parts = name.removeprefix("grad of ").split(".")
    if parts[0] != "blocks" or parts[-1] != "bias":
        return False
    synapse = parts.index("synapse") if "synapse" in parts else 0
    block = net.get_submodule(".".join(parts[:synapse]))
    return isinstance(block, SpikingBlock | CurrentBlock) and isinstance(block.norm, TemporalNorm)


def _own_noise(name: str, theirs: Record, exact: Record) -> float:
    """How far the plain path's gradients of a block, or of anything else, are from float64."""
    beginning = ".".join(name.split(".")[:2])
    pairs = [(theirs[k], exact.get(k)) for k in theirs if k.startswith(beginning)]
    return max((_size(a - b) for a, b in pairs if isinstance(a, Tensor) and isinstance(b, Tensor)), default=0.0)


def _size(x: Any) -> float:
    """The largest magnitude; infinite where one is not a number."""
    if not isinstance(x, Tensor) or x.numel() == 0:
        return 0.0
    return float(x.detach().abs().max().nan_to_num(nan=float("inf")))


def _depends_on_nothing(ours: Record, theirs: Record) -> bool:
    """Whether no parameter reaches a loss: plain PyTorch refuses to go back from a constant, one node gives zeros."""
    gradients = [value for name, value in ours.items() if name.startswith("grad") and value is not None]
    constant = "does not require grad" in str(theirs.get("message"))
    return constant and "error" not in ours and not any(bool(value.any()) for value in gradients)


def _error(record: Record) -> str:
    return f"{record['error'].__name__} ({record['message']})" if "error" in record else "none"


@contextmanager
def margins() -> Iterator[list[float]]:
    """How near the potentials of plain PyTorch come to their thresholds, the nearest one."""
    nearest, real = [float("inf")], lif_ops.fire

    def fire(membrane: Tensor, threshold: float | Tensor = 1.0, *args: Any) -> Tensor:
        level = torch.as_tensor(threshold, dtype=membrane.dtype)
        away = (membrane.detach() - level).abs() / membrane.detach().abs().maximum(level)
        nearest[0] = min(nearest[0], float(away.min()) if away.numel() else nearest[0])
        return real(membrane, threshold, *args)

    with patch.object(lif_ops, "fire", fire), patch.object(folded_ops, "fire", fire):
        yield nearest


def describe(case: Case) -> str:
    """All that was drawn, to read."""
    job = Job(copy.deepcopy(case.drawn.net), case.drawn, Dice(case.number, "inputs"), False)
    choose(job.net, "reference", "never", "never", "fp32")
    with warnings.catch_warnings(action="ignore"), case.around(job, Dice(case.number, case.kind)), recorded(job):
        case.use(job)
    modes = {name: getattr(layer.norm, "training", None) for name, layer in case.drawn.net.layers.items()}
    frozen = [name for name, p in case.drawn.net.named_parameters() if not p.requires_grad]
    inputs = f"inputs {'; '.join(job.notes)} for T={case.drawn.steps} B={case.drawn.batch} {list(case.drawn.place)}"
    used = f"{case.use}, {case.intrusion}, global hook {case.everywhere}, norms in training {modes}, frozen {frozen}"
    return "\n".join([used, inputs, str(case.conditions), str(case.drawn.net)])
