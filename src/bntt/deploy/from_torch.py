"""From PyTorch to files: the description of a model in evaluation mode, made constant in time, and written."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bntt.deploy import bundle, onnx_graph
from bntt.deploy.bundle import WeightType
from bntt.deploy.description import (
    Array,
    DeployError,
    Description,
    Encoder,
    EncoderKind,
    Layer,
    Neurons,
    Pictures,
    Pool,
    Sum,
    Weights,
    require,
    typed,
)
from bntt.deploy.nir import graph
from bntt.deploy.runtime.runtime import EVALUATION, Runtime
from bntt.engine.layer_spec import PoolSize
from bntt.nn.blocks import UNITS, Readout, Residual, SpikeCount, SpikeDropout
from bntt.nn.encoders import DirectEncoder, ExpectedEncoder, FrameEncoder, PoissonEncoder, SequenceEncoder
from bntt.nn.fuse import Layout, NotKnown, geometry_of, pool_of, synapse_of
from bntt.nn.kinds import encoder_facts, norm_facts, step_gamma
from bntt.nn.network.classifier import SpikingClassifier, check_classifier, touched_parts
from bntt.nn.network.delays import delays
from bntt.nn.network.fold import normalisation_of
from bntt.nn.network.labelled_batch import EpochLoader
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import FAMILY, LayerNorm, NoNorm
from bntt.nn.untouched import remember
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.registry import Registry

EXACT = "exact"


@dataclass(frozen=True, eq=False)
class Constant:
    """A network made constant in time, and how it was chosen; returned by :func:`choose_constant`."""

    description: Description
    """The network: weights that hold scale and shift, hard resets, the rule ``fire_after``."""
    by: str
    """What replaces the steps: "median", "mean", or "step 3"."""
    accuracies: dict[str, float]
    """Accuracies on the validation samples, by what replaces the steps; "exact" is the network's own."""
    samples: int
    """Number of validation samples."""


def make_constant(description: Description, by: str = "median") -> Description:
    """Return the network made constant in time: ``a_t y + b_t`` becomes ``a y + b``, folded into weights and bias.

    Neurons get what every framework has: the hard reset and the rule ``fire_after``; leak and threshold stay. γ, and
    with it the exit by γ, is gone. The result is a different network: measure it, or use :func:`choose_constant`.

    Args:
        description: the network.
        by: the source of a and b: their "median" or "mean" over the steps, or one step, "step 1" to "step T".

    Raises:
        DeployError: naming a layer whose neurons are folded; or on an unknown ``by``.

    >>> import bntt
    >>> from bntt import deploy
    >>> made = make_constant(deploy.describe(bntt.models.pretrained()))
    >>> made.layers[0].neurons.reset, bool((made.layers[0].scale == 1).all())
    ('hard', True)
    """
    known = candidates(description)
    require(by in known, f"steps become constant by {', '.join(known)}, got {by!r}")
    nodes = [_constant(node, by) if isinstance(node, Layer) else node for node in description.nodes]
    return replace(description, nodes=tuple(nodes))


def candidates(description: Description) -> list[str]:
    """List the names of what can replace the steps."""
    return ["median", "mean", *(f"step {t + 1}" for t in range(description.num_steps))]


def _constant(layer: Layer, by: str) -> Layer:
    neurons, weights = layer.neurons, layer.weights
    if neurons is not None:
        why = "its neurons are folded, which cannot be constant: export the unfolded network"
        require(neurons.is_plain, f"{layer.name!r}: {why}")
        neurons = replace(neurons, rule="after", reset="hard")
    if by in ("median", "mean"):
        scale, shift = (getattr(np, by)(table, 0) for table in (layer.scale, layer.shift))
    else:
        t = int(by.removeprefix("step ")) - 1
        scale, shift = layer.scale[t], layer.shift[t]
    size = layer.scale.shape
    if weights is not None:
        values = (weights.values * scale.reshape(-1, *[1] * (weights.values.ndim - 1))).astype(weights.values.dtype)
        bias = shift if weights.bias is None else shift + scale * weights.bias
        kept = bias.astype(values.dtype) if weights.bias is not None or bias.any() else None
        weights, scale, shift = replace(weights, values=values, bias=kept), np.ones(size[1]), np.zeros(size[1])
    scale, shift = (np.array(np.broadcast_to(row, size)) for row in (scale, shift))
    return replace(layer, scale=scale, shift=shift, weights=weights, neurons=neurons, gamma=None, driven=(0, 0))


def choose_constant(description: Description, validation: Iterable[Any], *, seed: int = 0) -> Constant:
    """Return a network made constant in time, in the way with the highest accuracy on validation samples.

    If several are equally accurate, the first wins.

    Args:
        description: the network.
        validation: batches ``(samples, labels)``, or ``(samples, labels, places)``, read once for each candidate: a
            DataLoader, a :class:`~bntt.data.SampleLoader` or a list; not the test samples.
        seed: seed of the encoder's noise, the same for all candidates.

    Raises:
        DeployError: as :func:`make_constant`, or if there are no samples.

    >>> import bntt, torch
    >>> from bntt import deploy
    >>> images = bntt.data.fashion_mnist_bundled().train.select(torch.arange(20))
    >>> batches = [(images.batch(torch.arange(20)), images.labels)]
    >>> choose_constant(deploy.describe(bntt.models.pretrained()), batches).samples
    20
    """
    accuracies, count = dict[str, float](), 0
    for by in (EXACT, *candidates(description)):
        made = description if by == EXACT else make_constant(description, by)
        accuracies[by], count = accuracy(made, validation, seed)
    best = max((by for by in accuracies if by != EXACT), key=lambda by: accuracies[by])
    told = {
        "constant": f"scale and shift by their {best}, hard reset; {accuracies[best]:.4f} right of {count} validation "
        f"samples, {accuracies[EXACT]:.4f} before"
    }
    made = make_constant(description, best)
    return Constant(replace(made, provenance={**made.provenance, **told}), best, accuracies, count)


def accuracy(description: Description, samples: Iterable[Any], seed: int = 0) -> tuple[float, int]:
    """Return the share of correct answers, and the number of samples, by :class:`~bntt.deploy.Runtime`."""
    runtime, right, count = Runtime(description), 0, 0
    for x, labels, *places in samples.epoch(0) if isinstance(samples, EpochLoader) else samples:
        index = np.asarray(places[0]) if places else np.arange(count, count + len(x))
        answers = runtime.run(np.asarray(x), seed=seed, index=index, draw=EVALUATION).argmax(1)
        true, last = np.asarray(labels), len(description.classes) - 1
        fits = true.shape == answers.shape and true.dtype.kind in "iu" and 0 <= true.min() <= true.max() <= last
        came = f"{true.dtype} {list(true.shape)}: {true!s:.40}"
        require(fits, f"validation must give a class from 0 to {last} for each of {len(x)} samples, got {came}")
        right, count = right + int((answers == true).sum()), count + len(x)
    require(count, "validation has no samples, or is an iterator that was read before: give a list or a loader")
    return right / count, count


RULES: dict[Any, Any] = {fire_after: "after", fire_before: "before"}
RESETS: dict[Any, Any] = {soft_reset: "soft", hard_reset: "hard"}
ENCODERS: dict[type, tuple[EncoderKind, EncoderKind]] = {
    PoissonEncoder: ("poisson-unsigned", "poisson"),
    ExpectedEncoder: ("expected-unsigned", "expected"),
    DirectEncoder: ("direct", "direct"),
    FrameEncoder: ("frames", "frames"),
    SequenceEncoder: ("sequence", "sequence"),
}
"""The kind of each encoder, unsigned and signed; a subclass may encode differently."""
remember(*ENCODERS, Readout, SpikeCount)


def describe(
    model: SpikingClassifier,
    *,
    classes: Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    pictures: Pictures | None = None,
    run: Mapping[str, str] | None = None,
) -> Description:
    """Return a model in evaluation mode as arrays: statistics, γ and β become a scale and a shift by step and channel.

    Weights keep their dtype; everything else is computed and stored in float64. The model is left unchanged.

    Args:
        model: the classifier.
        classes: names of the classes; their numbers by default.
        input_shape: shape of one step of a sample, ``[C, H, W]`` or ``[F]``; by default the one it was built for.
        pictures: how image files become samples.
        run: provenance, as text by name.

    Raises:
        TypeError: if it is not a classifier.
        DeployError: naming a part that cannot be described (a layer norm, a custom part or hook), and what to do; or if
            no input shape is given and the network does not have one.

    >>> from bntt.models import mlp
    >>> net = mlp(in_features=4, hidden=(8,), num_steps=5)
    >>> made = describe(SpikingClassifier(SequenceEncoder(5), net))
    >>> [layer.name for layer in made.layers], made.input_shape, made.layers[0].scale.shape
    (['fc1', 'readout'], (4,), (5, 8))
    """
    check_classifier(model, "describe() takes")
    for name, why in touched_parts(model).items():
        raise DeployError(f"{name} {why}, which the file cannot contain: remove it")
    kinds, network = ENCODERS.get(type(model.encoder)), model.network
    if kinds is None:
        ours = ", ".join(kind.__name__ for kind in ENCODERS)
        raise DeployError(f"the encoder, {type(model.encoder).__name__}, cannot leave PyTorch: use {ours}")
    scales = (getattr(model.encoder, name, None) for name in ("mean", "std"))
    mean, std = (() if rows is None else tuple(map(float, rows.flatten().double().tolist())) for rows in scales)
    encoder = Encoder(kinds[bool(getattr(model.encoder, "signed", True))], model.encoder.num_steps, mean, std)
    shape = network.input_shape if input_shape is None else tuple(input_shape)
    takes_sequences = encoder_facts(model.encoder).takes == "sequences"
    if shape is None or (input_shape is None and (len(shape) == 1) != takes_sequences):
        raise DeployError("the network does not say the shape of its samples: give it, input_shape=(C, H, W)")
    if len(shape) not in (1, 3):
        raise DeployError(f"one step of a sample is [C, H, W] or [F], got {list(shape)}")
    walk = _Walk(network, encoder.num_steps)
    count = walk.network(network, shape)
    names = tuple(classes) or tuple(map(str, range(count)))
    return Description(tuple(walk.nodes), encoder, names, shape, pictures, dict(run or {}))


class _Place(NamedTuple):
    node: int
    """The node that gives the values; -1: the network's input."""
    layout: Layout


class _Walk:
    """The nodes of a description, as the network's layers are visited in order."""

    def __init__(self, network: SpikingNetwork, steps: int) -> None:
        self.steps, self.dtype = steps, next(network.parameters()).dtype
        self.nodes: list[Layer | Sum] = []
        self.gammas: dict[str, tuple[Array, tuple[int, int]]] = {}
        """The mean |γ| of every layer that has one for each step, and the steps in which it counts."""
        late = delays(network)
        for name, layer in network.layers.items():
            norm: Any = layer.norm
            if norm_facts(norm).step_gamma:
                driven = late[name].driven(steps)
                first = min(driven.start, steps)
                self.gammas[name] = (
                    _array(step_gamma(norm).abs().mean(1).double()),
                    (first, max(first, min(driven.stop, steps))),
                )

    def network(self, network: SpikingNetwork, shape: tuple[int, ...]) -> int:
        """Append all nodes; return the number of classes."""
        memory = (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
        at = _Place(-1, Layout(shape, memory))
        for name, block in network.blocks.items():
            at = self.block(name, block, at)
        readout: Any = network.readout
        with refusing("readout"):
            if type(readout) not in (Readout, SpikeCount):
                raise NotKnown(f"it is {type(readout).__name__}: only Readout and SpikeCount can")
            at = self.layer("readout", at, readout.synapse, None, getattr(readout, "lif", None), None)
        return at.layout.memory[2]

    def block(self, name: str, block: Any, at: _Place) -> _Place:
        """Append a block."""
        if type(block) is not Residual:
            with refusing(name):
                if type(block) not in UNITS:
                    raise NotKnown(f"it is {type(block).__name__}, and only the library's blocks can: build it of them")
                if block.dropout is not None and type(block.dropout) is not SpikeDropout:
                    raise NotKnown(f"its dropout is {type(block.dropout).__name__}, which is not from the library")
                return self.layer(name, at, block.synapse, block.norm, block.lif, block.pool)
        ends = []
        for side in (block.body, block.shortcut):
            end = at
            for part, inner in side.items():
                end = self.block(f"{name}.{part}", inner, end)
            ends.append(end)
        body, beside = ends
        if body.layout.shape != beside.layout.shape:
            raise DeployError(block.differs(body.layout.shape, beside.layout.shape))
        self.nodes.append(Sum(name, (body.node, beside.node)))
        total = _Place(len(self.nodes) - 1, body.layout)
        return total if block.after is None else self.block(f"{name}.after", block.after, total)

    def layer(self, name: str, at: _Place, synapse: Any, norm: Any, lif: Any, pool: nn.Module | None) -> _Place:
        """Append a layer."""
        layout, weights, before, after = at.layout, None, tuple[Pool, ...](), tuple[Pool, ...]()
        (height, width, channels), flat = layout.memory, len(layout.shape) == 1
        if synapse is None and flat and height * width > 1:
            raise NotKnown("its input is a flattened image: flatten behind the neurons")
        if synapse is not None:
            *first, last = synapse if type(synapse) is nn.Sequential else (synapse,)
            if type(last) not in (nn.Conv2d, nn.Linear):
                raise NotKnown(f"its weights end in {type(last).__name__}: nn.Conv2d or nn.Linear must be last")
            *sizes, layout = pool_of(nn.Sequential(*first), (channels, height, width), flat)
            module, _, (height, width, channels) = synapse_of(last, layout)
            before, flat, made = _pools(*sizes), isinstance(module, nn.Linear), geometry_of(module)
            bias = None if module.bias is None else _array(module.bias.to(self.dtype))
            values = _array(module.weight.to(self.dtype))
            weights = Weights(values, bias, made.stride, made.padding, made.dilation, made.groups)
            layout = Layout((channels,) if flat else (channels, height, width), (height, width, channels))
        if pool is not None:
            *sizes, layout = pool_of(pool, (channels, height, width), flat)
            after = _pools(*sizes)
        tables, neurons = _affine(norm, self.steps, channels), None
        if lif is not None:
            neurons, gain, bias = _neurons(lif)
            tables = gain * tables[0], gain * tables[1] + bias
        scale, shift = (np.ascontiguousarray(np.broadcast_to(rows, (self.steps, channels))) for rows in tables)
        gamma, driven = self.gammas.get(name, (None, (0, 0)))
        self.nodes.append(Layer(name, at.node, scale, shift, weights, neurons, before, after, gamma, driven))
        return _Place(len(self.nodes) - 1, layout)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn the reason why a part cannot be described into an error that names its layer."""
    try:
        yield
    except NotKnown as reason:
        raise DeployError(f"layer {name!r} cannot leave PyTorch: {reason}") from None


def _pools(average: PoolSize, largest: PoolSize) -> tuple[Pool, ...]:
    return tuple(Pool(kind, size) for kind, size in (("average", average), ("max", largest)) if size != (1, 1))  # type: ignore[arg-type]


def _affine(norm: Any, steps: int, channels: int) -> tuple[Array, Array]:
    """Return scale and shift, ``[T, C]``."""
    if norm is None or type(norm) is NoNorm:
        return np.ones((steps, channels)), np.zeros((steps, channels))
    if type(norm) not in FAMILY:
        own = type(norm) is not LayerNorm
        why = "is not from the library" if own else "takes the statistics of every sample, which are no constants"
        raise NotKnown(f"its norm, {type(norm).__name__}, {why}: train with batch statistics, such as norm='bntt'")
    if norm.num_steps != steps or norm.channels != channels:
        raise NotKnown(
            f"its norm has {norm.num_steps} steps of {norm.channels} channels, expected {steps} of {channels}"
        )
    scale, mean, shift = map(_array, normalisation_of(copy.deepcopy(norm).cpu().double()))
    return scale, shift - scale * mean


def _neurons(lif: Any) -> tuple[Neurons, Array, Array]:
    """Return neurons, and the factor of their current and what is added to it, ``[T or 1, C or 1]`` each."""
    if type(lif) not in (LIF, FoldedLIF):
        raise NotKnown(f"its neurons are {type(lif).__name__}: only LIF and FoldedLIF can")
    if type(lif.neuron) not in (Neuron, FoldedNeuron):
        raise NotKnown(f"its neurons are {type(lif.neuron).__name__}, which is not from the library")
    neuron = copy.deepcopy(lif).cpu().double().neuron
    if neuron.rule not in RULES or neuron.reset not in RESETS:
        raise NotKnown(
            "its firing rule or reset is a custom one: only fire_after, fire_before, soft and hard reset can"
        )
    tables, names = (_table(neuron.leak), _table(neuron.threshold)), (RULES[neuron.rule], RESETS[neuron.reset])
    if not isinstance(neuron, FoldedNeuron):
        return Neurons(*tables, *names), _table(neuron.input_gain), np.zeros((1, 1))
    amount = None if neuron.amount is None else _table(neuron.amount)
    turned = _table(neuron.turned).astype(bool)
    neurons = Neurons(*tables, *names, amount, turned if turned.any() else None)
    return neurons, _table(neuron.gain), _table(neuron.bias)


def _table(value: Any) -> Array:
    """Return a number, one number per channel, or a table as ``[T or 1, C or 1]``."""
    values = _array(value) if isinstance(value, Tensor) else np.asarray(value)
    return values.astype(np.float64).reshape(values.shape if values.ndim == 2 else (1, -1))


def _array(values: Tensor) -> Array:
    values = values.detach().cpu()
    found: Array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    return np.array(found, order="C")


TARGETS: Registry[Any] = Registry(
    "target",
    {
        "bundle": bundle.write,
        "onnx": onnx_graph.write,
        "onnx-step": partial(onnx_graph.write, step=True),
        "nir": graph.write,
    },
)
"""``write(description, path)`` of each."""


def export(
    model: SpikingClassifier | Description,
    path: str | Path,
    target: str = "bundle",
    *,
    weights: WeightType = "float32",
    classes: Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    pictures: Pictures | None = None,
) -> Description:
    """Write a trained network in a format for use elsewhere, and return its description.

    Args:
        model: the classifier; or its description by :func:`~bntt.deploy.describe`, which has classes, input shape and
            pictures already: leave these three out.
        path: the file to write.
        target: "bundle", for :class:`bntt.deploy.Runtime`; "onnx", all steps at once, or "onnx-step", one step with the
            state as input and output (:func:`bntt.deploy.onnx_graph.build`); "nir", for :func:`~bntt.deploy.from_nir`
            and, if nothing changes over time, for other frameworks (:mod:`bntt.deploy.nir.graph`).
        weights: "float32", "float16", or "int8" with a step size for each output channel; ONNX and NIR have float32.
        classes, input_shape, pictures: see :func:`~bntt.deploy.describe`.

    Returns:
        The description, with its weights before any rounding; :class:`~bntt.deploy.Runtime` reads them as written.

    Raises:
        DeployError: if the target cannot represent the network (the message names the part, and what to do), or if a
            value of the description is of a type that no reader takes.
        ValueError: on an unknown target.
        OSError: if the file cannot be written; a file that was there before is kept.

    >>> import tempfile, bntt
    >>> path = Path(tempfile.mkdtemp()) / "clothes.safetensors"
    >>> export(bntt.models.pretrained(), path, "bundle", weights="int8").num_steps, path.stat().st_size < 300_000
    (8, True)
    """
    write, fits = TARGETS.resolve(target), target == "bundle" or weights == "float32"
    require(fits, f"{target} files have float32 weights, got {weights!r}: a bundle can have float16 and int8")
    if not isinstance(model, Description):
        made = describe(model, classes=classes, input_shape=input_shape, pictures=pictures)
    else:
        given = classes or input_shape is not None or pictures is not None
        require(not given, "a description has its classes, input shape and pictures: leave out these arguments")
        typed(Description, made := model)  # its provenance may have changed
    write(made, Path(path), **({"weights": weights} if target == "bundle" else {}))
    return made
