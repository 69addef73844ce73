"""The order of a network's layers, with their modules and inputs; parts that cannot leave PyTorch are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Pool, Sum
from bntt.engine.private import parts_of
from bntt.nn.blocks.block import UNITS, LayerBlock, SpikeDropout
from bntt.nn.blocks.readout import Readout, SpikeCount
from bntt.nn.blocks.residual import Residual
from bntt.nn.fusion.supported import Layout, NotKnown, Pooled, known, pool_of, synapse_of
from bntt.nn.fusion.untouched import remember, why_touched
from bntt.nn.network.spiking_network import SpikingNetwork

REMEDY = "which the file cannot contain: remove it"
"""What to do about a custom hook or method."""
remember(Readout, SpikeCount)


class Unit(NamedTuple):
    """One layer of a network."""

    name: str
    reads: int
    """The unit before it whose output it reads; -1: the network's input."""
    weights: nn.Conv2d | nn.Linear | None
    norm: nn.Module | None
    lif: nn.Module | None
    before: tuple[Pool, ...]
    after: tuple[Pool, ...]
    channels: int
    """Channels of its neurons."""


def walk(network: SpikingNetwork, shape: Sequence[int]) -> list[Unit | Sum]:
    """List a network's units for inputs of a shape, ``[C, H, W]`` or ``[F]``; the last is the readout.

    >>> from bntt.models import mlp
    >>> [unit.name for unit in walk(mlp(in_features=4, hidden=(8, 8), num_steps=2), [4])]
    ['fc1', 'fc2', 'readout']
    """
    walking = _Walk()
    memory = (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
    at = _Place(-1, Layout(tuple(shape), memory))
    for name, block in network.blocks.items():
        at = walking.block(name, block, at)
    walking.readout(network.readout, at)
    return walking.units


class _Place(NamedTuple):
    unit: int
    layout: Layout


class _Walk:
    def __init__(self) -> None:
        self.units: list[Unit | Sum] = []

    def block(self, name: str, block: nn.Module, at: _Place) -> _Place:
        """Append a block."""
        if type(block) is not Residual:
            return self.unit(name, block, at)
        if reason := why_touched(block):
            raise DeployError(f"block {name!r} cannot leave PyTorch: it {reason}, {REMEDY}")
        body, beside = (self.chain(name, side.items(), at) for side in (block.body, block.shortcut))
        if body.layout.shape != beside.layout.shape:
            raise DeployError(block.differs(body.layout.shape, beside.layout.shape))
        self.units.append(Sum(name, (body.unit, beside.unit)))
        total = _Place(len(self.units) - 1, body.layout)
        return total if block.after is None else self.block(f"{name}.after", block.after, total)

    def chain(self, name: str, parts: Iterable[tuple[str, nn.Module]], at: _Place) -> _Place:
        """Append blocks, one after another."""
        for part, block in parts:
            at = self.block(f"{name}.{part}", block, at)
        return at

    def unit(self, name: str, block: nn.Module, at: _Place) -> _Place:
        """Append a block of one layer."""
        with refusing(name):
            if type(block) not in UNITS or not isinstance(block, LayerBlock):
                raise NotKnown(f"it is {type(block).__name__}, and only the library's blocks can: build it from them")
            if block.dropout is not None and type(block.dropout) is not SpikeDropout:
                raise NotKnown(f"its dropout is {type(block.dropout).__name__}, which is not from the library")
            _check_untouched(block)
            return self._append(name, at, block.synapse, block.norm, block.lif, block.pool)

    def readout(self, readout: nn.Module, at: _Place) -> None:
        """Append the readout."""
        with refusing("readout"):
            if type(readout) not in (Readout, SpikeCount):
                raise NotKnown(f"it is {type(readout).__name__}: only Readout and SpikeCount can")
            _check_untouched(readout)
            part: Any = readout
            self._append("readout", at, part.synapse, None, getattr(part, "lif", None), None)

    def _append(self, name: str, at: _Place, *parts: nn.Module | None) -> _Place:
        synapse, norm, lif, pool = parts
        layout, weights, before = at.layout, None, tuple[Pool, ...]()
        (height, width, channels), flat = layout.memory, len(layout.shape) == 1
        if synapse is None and flat and height * width > 1:
            raise NotKnown("its input is a flattened image: flatten behind the neurons")
        if synapse is not None:
            *first, last = synapse if type(synapse) is nn.Sequential else (synapse,)
            if type(last) not in (nn.Conv2d, nn.Linear):
                raise NotKnown(f"its weights end in {type(last).__name__}: nn.Conv2d or nn.Linear must be last")
            pooled = known(pool_of(nn.Sequential(*first), (channels, height, width), flat))
            weights, _, (height, width, channels) = known(synapse_of(last, pooled.out))
            before, flat = _pools(pooled), isinstance(weights, nn.Linear)
            layout = Layout((channels,) if flat else (channels, height, width), (height, width, channels))
        after = tuple[Pool, ...]()
        if pool is not None:
            pooled = known(pool_of(pool, (channels, height, width), flat))
            after, layout = _pools(pooled), pooled.out
        self.units.append(Unit(name, at.unit, weights, norm, lif, before, after, channels))
        return _Place(len(self.units) - 1, layout)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn the reason why a part cannot be described into an error that names its layer."""
    try:
        yield
    except NotKnown as reason:
        raise DeployError(f"layer {name!r} cannot leave PyTorch: {reason}") from None


def _pools(pooled: Pooled) -> tuple[Pool, ...]:
    sizes = (("average", pooled.average), ("max", pooled.largest))
    return tuple(Pool(kind, size) for kind, size in sizes if size != (1, 1))  # type: ignore[arg-type]


def _check_untouched(block: nn.Module) -> None:
    for name, module, _ in parts_of(block):
        if reason := why_touched(module):
            raise NotKnown(f"{name or 'it'} {reason}, {REMEDY}")
