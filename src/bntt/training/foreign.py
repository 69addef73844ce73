"""Import of state dicts from other BNTT networks: the paper's released one, SpikingJelly's and snnTorch's.

All three keep T batch normalisation modules for a layer where bntt keeps one γ ``[T, C]``. The released network is
recognised by its names. In networks built from SpikingJelly's or snnTorch's layers, names mean nothing: weights and
norms are taken in the order of the file, which is that of the layers, and every shape must fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bntt.io.checkpoint import CheckpointError
from bntt.nn.blocks import SpikingBlock
from bntt.nn.network.spiking_network import SpikingNetwork

LAYOUTS = {"released": 1e-4, "spikingjelly": 1e-5, "snntorch": 1e-5}
"""Layouts, each with the default ε of its norms: a state dict does not hold it."""
NORM = ("weight", "running_mean", "running_var")
COUNT = "num_batches_tracked"
WRAPPER = "module."
"""Prefix of every name if the network was wrapped for several GPUs."""
NEURON = {"graded_spikes_factor": 1.0, "reset_mechanism_val": 0.0, "threshold": 1.0}
"""Entries of snnTorch's neurons besides their leak, with the values for a soft reset at θ = 1."""


@dataclass
class Foreign:
    """Sorted contents of a state dict."""

    layout: str
    synapses: dict[str, Tensor]
    """Synaptic weights by name, in the file's order."""
    norms: dict[str, dict[str, Tensor]]
    """Norms by name of the T modules: γ, mean and variance, ``[T, C]``."""
    num_steps: int
    leak: float | None
    """Leak stored in the file; None if it has none."""
    notes: list[str] = field(default_factory=list)
    """Remarks on how the file was read."""


def read_foreign(state: Mapping[str, Tensor], layout: str = "") -> Foreign:
    """Sort a state dict; every entry must be recognised."""
    wrapped, wrong = is_wrapped(state), list[str]()
    left = {name.removeprefix(WRAPPER) if wrapped else name: value for name, value in state.items()}
    norms = _norms(left, wrong)
    synapses = {name: left.pop(name) for name in [*left] if name.endswith(".weight") and left[name].ndim in (2, 4)}
    leak = _leak(left, wrong)
    steps = {name: len(rows["weight"]) for name, rows in norms.items()}
    if not wrong and len(set(steps.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in steps.items()) or "none"
        wrong.append(f"norms must have one number of steps T, each its own module at every step; found {said}")
    elif not wrong and left:
        listed = ", ".join(list(left)[:5])
        lacks = f"this library's BNTT networks have no counterpart of {len(left)} of the entries (no bias, no β)"
        wrong.append(f"{lacks}: {listed}")
    if wrong:
        raise CheckpointError("; ".join(wrong[:5]))
    layout = layout or _layout_of([*norms], [*synapses])
    notes = [f"the prefix {WRAPPER!r} of every name was left out"] if wrapped else []
    return Foreign(layout, synapses, norms, next(iter(steps.values())), leak, notes)


def is_wrapped(state: Mapping[str, Tensor]) -> bool:
    """Return True if every name has the prefix of a network that was wrapped for several GPUs."""
    return bool(state) and all(name.startswith(WRAPPER) for name in state)


def as_ours(foreign: Foreign, network: SpikingNetwork) -> dict[str, Tensor]:
    """Return the state dict of this network, with the weights, γ and statistics of the foreign one."""
    blocks, expected = [*network.blocks], network.state_dict()
    found: dict[str, tuple[str, Tensor]] = {}
    if all(isinstance(block, SpikingBlock) for block in network.blocks.values()):
        wrong, pairs = (_by_name if foreign.layout == "released" else _by_order)(foreign, blocks)
    else:
        wrong, pairs = ["only networks that are a plain chain of layers can be imported"], []
    for synapse, part, norm in [] if wrong else pairs:
        found[_entry(expected, f"{part}.synapse", "weight")] = synapse, foreign.synapses[synapse]
        for theirs, value in foreign.norms[norm].items() if norm else ():
            found[_entry(expected, f"{part}.norm", "gamma" if theirs == "weight" else theirs)] = norm, value
    wrong = wrong or [f"{name} has no counterpart in the file" for name in expected if name not in found]
    for name, (theirs, have) in found.items():
        want = expected.get(name, have)
        if have.shape != want.shape or have.dtype != want.dtype:
            wrong.append(f"{theirs} is {have.dtype} {list(have.shape)}, {name} is {want.dtype} {list(want.shape)}")
        elif name.endswith("running_var") and (have < 0).any():
            wrong.append(f"{theirs} holds a negative variance")
    if wrong:
        raise CheckpointError(f"does not fit this network ({len(wrong)} differences): {'; '.join(wrong[:5])}")
    return {name: found[name][1].clone() for name in expected}


def _entry(expected: Mapping[str, Tensor], part: str, key: str) -> str:
    """Return the name of a part's entry; weights may come after a module that flattens their input."""
    inner = [name for name in expected if name.startswith(f"{part}.") and name.endswith(f".{key}")]
    return inner[0] if len(inner) == 1 else f"{part}.{key}"


def _norms(left: dict[str, Tensor], wrong: list[str]) -> dict[str, dict[str, Tensor]]:
    """Take the norms out of a state dict, with their steps stacked; add what is wrong with them."""
    modules = [name.removesuffix(".running_mean") for name in left if name.endswith(".running_mean")]
    steps: dict[str, dict[int, str]] = {}
    for module in modules:
        match = re.fullmatch(r"(.*)\.(\d{1,6})", f".{module}", re.ASCII)
        if match is None:
            wrong.append(f"{module} is one norm for all steps: BNTT has one for each (NAME.0, NAME.1, ...)")
            continue
        steps.setdefault(match[1].removeprefix("."), {})[int(match[2])] = module
    found = {}
    for name, rows in steps.items():
        missing = [f"{name}.{t}" for t in range(len(rows)) if t not in rows]
        missing += [f"{rows[t]}.{key}" for key in NORM for t in sorted(rows) if f"{rows[t]}.{key}" not in left]
        if missing:
            wrong.append(f"{len(missing)} entries are missing, the first is {missing[0]}")
            continue
        for t in rows:
            left.pop(f"{rows[t]}.{COUNT}", None)
        parts = {key: [left.pop(f"{rows[t]}.{key}") for t in range(len(rows))] for key in NORM}
        uneven = [
            f"{name}.*.{key} are vectors of one length and type at every step, got {list(each[0].shape)} first"
            for key, each in parts.items()
            if len({(row.shape, row.dtype) for row in each}) != 1 or each[0].ndim != 1
        ]
        wrong += uneven
        if uneven:
            continue
        found[name] = {key: torch.stack(each) for key, each in parts.items()}
    return found


def _leak(left: dict[str, Tensor], wrong: list[str]) -> float | None:
    """Take the entries of snnTorch's neurons out of a state dict: one leak, a soft reset at θ = 1."""
    leaks: dict[str, float] = {}
    for neuron in [name.removesuffix(".beta") for name in left if name.endswith(".beta")]:
        beta = left.pop(f"{neuron}.beta")
        if beta.numel() != 1:
            wrong.append(f"{neuron}.beta is {list(beta.shape)}: one leak for all neurons is read")
            continue
        leaks[neuron] = float(str(beta.numpy().reshape(())))  # 0.95, of the float32 next to it
        for key, expected in NEURON.items():
            value = left.pop(f"{neuron}.{key}", None)
            if value is not None and (value.numel() != 1 or float(value) != expected):
                wrong.append(f"{neuron}.{key} is {value.tolist()}: only {expected:g} is read")
    if len(set(leaks.values())) > 1:
        wrong.append(f"neurons have different leaks ({leaks}): one for all is read")
    return next(iter(leaks.values()), None)


def _layout_of(norms: list[str], synapses: list[str]) -> str:
    if all(name.endswith("bn_list") for name in norms):
        return "spikingjelly"
    released = re.compile(r"bntt(\d+|_fc)|(conv|fc)\d+\.weight", re.ASCII)
    return "released" if all(released.fullmatch(name) for name in [*norms, *synapses]) else "snntorch"


def norm_of_released(block: str) -> str:
    """Return the released name of a block's norm."""
    return "bntt_fc" if block == "fc1" else block.replace("conv", "bntt")


Pairs = tuple[list[str], list[tuple[str, str, str]]]
"""What is wrong; and the foreign name of weights, our part, and the foreign name of its norm, "" for the readout."""


def _by_name(foreign: Foreign, blocks: list[str]) -> Pairs:
    """Pair conv1 with bntt1, conv2 with bntt2, ...; fc1 with bntt_fc; fc2 is the readout."""
    found = [(f"{name}.weight", f"blocks.{name}", norm_of_released(name)) for name in blocks]
    wanted = [*(synapse for synapse, _, _ in found), "fc2.weight", *(norm for _, _, norm in found)]
    there = [*foreign.synapses, *foreign.norms]
    wrong = [f"{name} is missing" for name in wanted if name not in there]
    wrong += [f"{name} is unexpected" for name in there if name not in wanted]
    return wrong, [*found, ("fc2.weight", "readout", "")]


def _by_order(foreign: Foreign, blocks: list[str]) -> Pairs:
    """Pair weights and norms with layers in order; the last weights are the readout's."""
    synapses, norms, wrong = [*foreign.synapses], [*foreign.norms], list[str]()
    if len(synapses) != len(blocks) + 1 or len(norms) != len(blocks):
        has = f"it has {len(synapses)} weights and {len(norms)} norms"
        names = f"{', '.join(synapses[:12])}; {', '.join(norms[:12])}"
        wrong.append(f"{has}, this network {len(blocks) + 1} and {len(blocks)}: {names}")
    parts = [*(f"blocks.{name}" for name in blocks), "readout"]
    return wrong, list(zip(synapses, parts, [*norms, ""], strict=False))
