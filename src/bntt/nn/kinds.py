"""Kinds of parts by name, and what a part says of itself to everybody else: facts, so that nobody asks for classes.

A part of yours has an attribute ``facts`` (a class attribute, or a property where it depends on its options) and is
registered by a name at its definition, ``@norms("mine")``; builders, recipes, ``bntt list`` and measurements read both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Generic, Literal, TypeVar

from torch import nn

from bntt.registry import Registry

Part = TypeVar("Part")
Definition = TypeVar("Definition", bound=Callable[..., Any])
Takes = Literal["images", "frames", "sequences"]


@dataclass(frozen=True)
class NormFacts:
    """What others ask of a norm; the defaults are those of a norm that says nothing."""

    step_gamma: bool = False
    """It has ``gamma`` ``[T, C]``, a row for every step, which early exit reads."""
    batch_statistics: bool = False
    """In training its statistics are the batch's: a batch of one row cannot be normalised, and no row stands alone."""
    running_statistics: bool = False
    """It is a :class:`~bntt.nn.TemporalNorm`, whose running statistics can be held, averaged and drift."""
    looks_ahead: bool = False
    """In training it needs all steps in one call."""
    operations: tuple[int, int] = (1, 1)
    """Multiplications and additions of every value, for energy."""
    identity: bool = False
    """It gives what it takes: there is no normalisation."""


@dataclass(frozen=True)
class NeuronFacts:
    """What others ask of neurons; the defaults are those of neurons that say nothing."""

    spikes: bool = True
    """Whether they fire; those of an ANN do not, and it has one step."""
    waits: bool = True
    """A spike comes a step after the drive that causes it, or nobody knows."""
    operations: tuple[int, int, int] = (1, 2, 1)
    """Multiplications and additions of every neuron, and additions of every spike, for energy."""
    scales_input: bool = False
    """One more multiplication where no norm takes it in."""


@dataclass(frozen=True)
class EncoderFacts:
    """What others ask of an encoder; the defaults are those of an encoder that says nothing."""

    takes: Takes = "images"
    """Its samples: images ``[B, C, H, W]``, frames ``[B, T, ...]`` that have time already, or sequences
    ``[B, T, F]``."""
    random: bool = False
    """It draws noise, so that every draw differs, and an attack needs an estimator of the gradient."""
    constant: bool = False
    """It gives the same at every step, so that the first layer's current can be computed once."""
    mean_code: str = ""
    """The name of the encoder that gives its expectation, for the ANN that a network is converted from; "": itself."""


def norm_facts(norm: object) -> NormFacts:
    """The facts of a norm.

    >>> norm_facts(nn.BatchNorm2d(3)).batch_statistics
    True
    """
    batches = isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)
    return _facts_of(norm, NormFacts(batch_statistics=batches, identity=norm is None))


def neuron_facts(neurons: object) -> NeuronFacts:
    """The facts of neurons."""
    return _facts_of(neurons, NeuronFacts())


def encoder_facts(encoder: object) -> EncoderFacts:
    """The facts of an encoder."""
    return _facts_of(encoder, EncoderFacts())


def _facts_of(part: object, default: Part) -> Part:
    found = getattr(part, "facts", None)
    return found if isinstance(found, type(default)) else default


@dataclass(frozen=True)
class Kind(Generic[Part]):
    """A registered definition: it is called with those of the arguments that it names."""

    build: Callable[..., Part]
    offered: tuple[str, ...]
    """The arguments that every kind of its registry may name, in the order of positional ones."""

    def __call__(self, *values: Any, **named: Any) -> Part:
        given = dict(zip(self.offered, values, strict=False)) | named
        return self.build(**{name: value for name, value in given.items() if self.takes(name)})

    def takes(self, name: str) -> bool:
        """Whether the definition names an argument."""
        return name in signature(self.build).parameters


class Kinds(Registry[Kind[Part]]):
    """A registry of definitions that are called with arguments by name."""

    def __init__(self, kind: str, *offered: str) -> None:
        super().__init__(kind)
        self.offered = offered

    def __call__(self, name: str) -> Callable[[Definition], Definition]:
        """Decorate a definition, a class or a function: it is the kind of this name.

        Raises:
            ValueError: if the name is taken, or an argument without a default is none that is offered.
        """

        def decorate(build: Definition) -> Definition:
            needed = [one for one in signature(build).parameters.values() if one.default is Parameter.empty]
            for parameter in needed:
                named = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
                if named and parameter.name not in self.offered:
                    raise ValueError(
                        f"the {self.kind} {name!r} needs {parameter.name!r}, and is given {', '.join(self.offered)}: "
                        f"give it a default"
                    )
            self.add(name, Kind(build, self.offered))
            return build

        return decorate


NormBuilder = Callable[[int, int, float], nn.Module]
"""``(channels, num_steps, threshold)`` → a norm, which is a stage."""
NORMS: Kinds[nn.Module] = Kinds("norm", "channels", "num_steps", "threshold")
"""The norms that builders and recipes know; ``NORMS["bntt"](channels, num_steps, threshold)`` makes one."""
NEURONS: Kinds[nn.Module] = Kinds(
    "neuron",
    *("channels", "num_steps", "leak", "threshold", "rule", "reset", "surrogate", "decay_input", "learn_leak"),
)
"""The neurons that builders and recipes know."""
ENCODERS: Kinds[Any] = Kinds("encoder", "num_steps", "mean", "std")
"""The encoders that recipes know; mean and std are those of the training samples, one number a channel or feature."""


def norm_facts_by_name(name: str) -> NormFacts:
    """The facts of the norms of this name, in a network of two steps."""
    return norm_facts(NORMS[name](1, 2, 1.0))


def neuron_facts_by_name(name: str) -> NeuronFacts:
    """The facts of the neurons of this name."""
    return neuron_facts(NEURONS[name].build)


def encoder_facts_by_name(name: str) -> EncoderFacts:
    """The facts of the encoders of this name; of none, those of an encoder that says nothing."""
    return encoder_facts(ENCODERS[name](1) if name else None)
