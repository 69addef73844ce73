"""Kinds of parts by name, and the facts that a part states about itself, so that no caller tests for classes.

A custom part has an attribute ``facts`` (a class attribute, or a property if it depends on options) and is registered
under a name at its definition, ``@NORMS("mine")``; builders, recipes, ``bntt list`` and measurements read both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import Tensor, nn
from torch.random import fork_rng

from bntt.ops.lif import Neuron
from bntt.registry import Kinds

Part = TypeVar("Part")
Takes = Literal["images", "frames", "sequences"]


@dataclass(frozen=True)
class NormFacts:
    """Facts about a norm; the defaults hold for a norm that states none; returned by :func:`norm_facts`."""

    step_gamma: bool = False
    """True if it has ``gamma`` ``[T, C]``, a row for every step, which early exit reads."""
    batch_statistics: bool = False
    """True if it trains on the batch's statistics: a batch of one row cannot be normalised, and rows are coupled."""
    running_statistics: bool = False
    """True for a :class:`~bntt.nn.TemporalNorm`, whose running statistics can be held, averaged and drift."""
    looks_ahead: bool = False
    """True if it needs all steps in one call in training."""
    operations: tuple[int, int] = (1, 1)
    """Multiplications and additions per value, for energy."""
    identity: bool = False
    """True if it returns its input: there is no normalisation."""


@dataclass(frozen=True)
class NeuronFacts:
    """Facts about neurons; the defaults hold for neurons that state none; returned by :func:`neuron_facts`."""

    spikes: bool = True
    """True if they fire; those of an ANN do not, and it has one step."""
    waits: bool = True
    """True if a spike comes a step after the drive that causes it, or if that is unknown."""
    operations: tuple[int, int, int] = (1, 2, 1)
    """Multiplications and additions per neuron, and additions per spike, for energy."""
    scales_input: bool = False
    """True if the input costs one more multiplication, unless a norm absorbs it."""


@dataclass(frozen=True)
class EncoderFacts:
    """Facts about an encoder; the defaults hold for an encoder that states none; returned by :func:`encoder_facts`."""

    takes: Takes = "images"
    """Its samples: images ``[B, C, H, W]``, frames ``[B, T, ...]`` with a time axis, or sequences ``[B, T, F]``."""
    random: bool = False
    """True if it draws noise, so that every draw differs, and an attack needs a gradient estimator."""
    constant: bool = False
    """True if its output is the same at every step, so that the first layer's current can be computed once."""
    mean_code: str = ""
    """The name of the encoder that gives its expectation, for the ANN that a network is converted from; "": itself."""
    estimated: bool = False
    """True if its attribute ``gradient`` takes an estimator of its spikes' derivative."""


@dataclass(frozen=True)
class BlockFacts:
    """Facts about a block or a readout; the defaults hold for one that states none.

    >>> BlockFacts().form
    ''
    """

    form: Literal["layer", "sum", "readout", ""] = ""
    """"layer": ``synapse``, ``norm``, ``lif``, ``pool`` and ``dropout`` in this order, None for those that it does not
    have; "sum": the blocks of ``body`` and ``shortcut`` by name, added up, then the block ``after``, or None;
    "readout": the output of ``synapse`` is accumulated; "": anything else."""


def norm_facts(norm: object) -> NormFacts:
    """Return the facts about a norm.

    Args:
        norm: a module with ``facts``. The defaults hold for others, but PyTorch's batch normalisation (1d, 2d, Sync)
            has batch statistics, and None is the identity.

    >>> from bntt.nn import BNTT
    >>> norm_facts(BNTT(1, num_steps=2)).step_gamma
    True
    """
    batches = isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)
    return _facts_of(norm, NormFacts(batch_statistics=batches, identity=norm is None))


def step_gamma(norm: Any) -> Tensor:
    """Return γ ``[T, C]`` of a norm that has one for each step, detached; where it also has a p (TAB), ``pᵏ γ``."""
    gamma: Tensor = norm.gamma.detach()
    p: Tensor | None = getattr(norm, "step_scale", None)
    return gamma if p is None else p.detach().unsqueeze(1) ** norm.method.step_power * gamma


def neuron_facts(neurons: object) -> NeuronFacts:
    """Return the facts about a layer's neurons.

    Args:
        neurons: a module with ``facts``; the defaults hold for others.

    >>> from bntt.nn import Rectifier
    >>> neuron_facts(Rectifier()).spikes
    False
    """
    return _facts_of(neurons, NeuronFacts())


def encoder_facts(encoder: object) -> EncoderFacts:
    """Return the facts about an encoder.

    Args:
        encoder: any object with ``facts``; the defaults hold for others.

    >>> from bntt.nn import PoissonEncoder
    >>> encoder_facts(PoissonEncoder(5)).random
    True
    """
    return _facts_of(encoder, EncoderFacts())


def block_facts(block: object) -> BlockFacts:
    """Return the facts about a block or a readout."""
    return _facts_of(block, BlockFacts())


def _facts_of(part: object, default: Part) -> Part:
    found = getattr(part, "facts", None)
    return found if isinstance(found, type(default)) else default


NormBuilder = Callable[[int, int, float], nn.Module]
"""``(channels, num_steps, threshold)`` → a norm, which is a stage."""
NORMS: Kinds[nn.Module] = Kinds("norm", "channels", "num_steps", "threshold")
"""The norms that builders and recipes know; ``NORMS["bntt"](channels, num_steps, threshold)`` makes one."""


def norm_builder(norm: str | NormBuilder) -> NormBuilder:
    """Return the function that makes a network's norms, by its name or as it was given."""
    return NORMS.resolve(norm) if isinstance(norm, str) else norm


NEURONS: Kinds[nn.Module] = Kinds(
    "neuron",
    *("channels", "num_steps", "leak", "threshold", "rule", "reset", "surrogate", "decay_input", "learn_leak"),
)
"""The neurons that builders and recipes know."""
ENCODERS: Kinds[Any] = Kinds("encoder", "num_steps", "mean", "std")
"""The encoders that recipes know; mean and std are those of the training samples, one number per channel or feature."""


_GENERATOR = threading.RLock()


@contextmanager
def borrowed_generator() -> Iterator[None]:
    """Let custom parts draw from the global generator, one thread at a time; restore its state afterwards."""
    with _GENERATOR, fork_rng(devices=()):
        yield


MANY = (960, 256)
"""Channels and steps of a part that is made for its facts: enough for groups of channels and for windows of steps."""


def norm_facts_by_name(name: str) -> NormFacts:
    """Return the facts about the norms of this name, in a network of many steps and channels."""
    with borrowed_generator():  # a custom part may draw
        return norm_facts(NORMS[name](*MANY, 1.0))


def neuron_facts_by_name(name: str, num_steps: int = 1) -> NeuronFacts:
    """Return the facts about the neurons of this name in a network of ``num_steps`` steps, with the default options."""
    with borrowed_generator():
        return neuron_facts(NEURONS[name](MANY[0], num_steps, **vars(Neuron()), learn_leak=False))


def encoder_facts_by_name(name: str) -> EncoderFacts:
    """Return the facts about the encoders of this name; if none has it, the defaults."""
    with borrowed_generator():
        return encoder_facts(ENCODERS[name](MANY[1], None, None) if name else None)
