"""What the paper's equivalence (Section 3.3) is worth: BNTT against a threshold that varies with time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity.delays import delays
from bntt.nn.blocks.block import SpikingBlock
from bntt.nn.blocks.stage import fold_time, passed
from bntt.nn.network.advance import Work, advance_blocks, real
from bntt.nn.network.call import Call, noise_of
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.fold import fold
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.measured import Measure
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.network.trace import evaluating
from bntt.nn.norms.temporal import TemporalNorm

STEPS_AT_ONCE = 5
"""Steps whose spikes are there at once, of one layer of every network."""


class Kept(NamedTuple):
    """What a folded network keeps of the normalisation."""

    mean: bool
    ratio: bool


FOLDS = {
    "exact": Kept(mean=True, ratio=True),
    "no mean": Kept(mean=False, ratio=True),
    "no ratio": Kept(mean=True, ratio=False),
    "Eq. 15": Kept(mean=False, ratio=False),
}
"""The four networks that are compared, see :mod:`bntt.ops.fold`."""


@dataclass(frozen=True)
class Differences:
    """How far one folded network is from the network that it was folded from."""

    true: dict[str, Float[Tensor, " T"]]
    """For each layer, the share of its neurons that fire in one of the two and not in the other, at every step; the
    layer alone, on the true input."""
    own: dict[str, Float[Tensor, " T"]]
    """As well; every layer on the spikes of the folded network's own layer before it."""
    accuracy: float
    """Of the folded network on its own. Layers that are fed with true spikes are no network, and have none."""
    agreement: float
    """The share of samples in which it answers what the network answers."""


@dataclass(frozen=True)
class Equivalence:
    """What :func:`equivalence` found, for each of :data:`FOLDS` by name."""

    samples: int
    accuracy: float
    """Of the network itself."""
    rate: dict[str, Float[Tensor, " T"]]
    """Its spikes per neuron, for each layer and step, beside which the differences are to be seen."""
    heard: dict[str, range]
    """The steps in which a layer should fire, and its spikes reach the readout; the others count in no mean."""
    folds: dict[str, Differences]


@torch.no_grad()
def fold_equivalence(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> Equivalence:
    """Compare a network with four that are folded from it: exactly; without the mean; without the ratio of two steps'
    scales in the leak; and without both, which is the paper's Eq. 15.

    Each layer is compared twice: alone, on the network's true spikes, which is what its own error is; and in the folded
    network as a whole, on that network's own, where errors add up. Spikes are compared before the pool. The exact fold
    differs in float32 where a membrane meets the threshold but for rounding, and by what follows from that; in float64
    it does not. All of it in evaluation mode, and nothing in the model changes.

    Args:
        batches: a ``SampleLoader``, or any iterable of ``(inputs, labels)``; a few steps of one batch are in memory at
            a time, and the membranes of nine networks.
        seed, draw: of the encoder's noise.
        progress: called with the number of samples of every batch done.

    Raises:
        ValueError: if the network is not a sequence of :class:`~bntt.nn.SpikingBlock`, none of them has a norm to fold,
            one cannot be folded, or there are no samples.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=3)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(3, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> found = fold_equivalence(model, loader)
    >>> list(found.folds), float(found.folds["no mean"].own["fc1"].sum())
    (['exact', 'no mean', 'no ratio', 'Eq. 15'], 0.0)
    """
    check_classifier(model, "fold_equivalence() takes")
    network = model.network
    check_sequence(network)
    folded = {name: fold(network, mean=kept.mean, ratio=kept.ratio) for name, kept in FOLDS.items()}
    total, device = model.encoder.num_steps, next(model.parameters()).device
    counts, neurons, seen = _Counts(total), dict[str, int](), 0
    hits: dict[str, list[Tensor]] = {name: [] for name in ("", *folded)}
    same: dict[str, list[Tensor]] = {name: [] for name in folded}
    with evaluating(model):
        for inputs, labels, index in samples(batches, 0):
            if labels.ndim != 1:
                raise ValueError(f"labels must be integers, one a sample, got {labels.dtype} {list(labels.shape)}")
            noise = noise_of(None, len(inputs), seed, draw, index)
            going, x = _Going(network, folded, counts), inputs.to(device)
            for first in range(0, total, STEPS_AT_ONCE):
                steps = range(first, min(total, first + STEPS_AT_ONCE))
                drawn = model.encoder(x, seed=seed, index=index, draw=draw, steps=steps)
                going.advance(drawn, Call(first, noise=noise))
            answers = {name: logits.argmax(1) for name, logits in going.logits.items()}
            for name, said in answers.items():
                hits[name].append((said == labels.to(device)).sum())
                if name:
                    same[name].append((said == answers[""]).sum())
            neurons, seen = going.neurons, seen + len(labels)
            progress(len(labels))
    if not seen:
        raise ValueError("there are no samples to compare")

    def shares(name: str, fed: str) -> dict[str, Tensor]:
        return {layer: counts.of(name, fed, layer) / (seen * size) for layer, size in neurons.items()}

    def share(found: list[Tensor]) -> float:
        return int(torch.stack(found).sum()) / seen

    found = {n: Differences(shares(n, "true"), shares(n, "own"), share(hits[n]), share(same[n])) for n in folded}
    heard = {layer: delay.heard(total) for layer, delay in delays(network).items()}
    return Equivalence(seen, share(hits[""]), shares("", ""), heard, found)


def check_sequence(network: SpikingNetwork) -> None:
    """Refuse a network whose layers are not compared one after another, or have no norm to fold.

    Raises:
        ValueError: saying which.

    >>> from bntt.models import mlp
    >>> check_sequence(mlp(hidden=(4,), norm="none"))
    Traceback (most recent call last):
    ValueError: there is nothing to fold: no layer of this network has a norm with batch statistics
    """
    for name, block in network.blocks.items():
        if type(block) is not SpikingBlock:
            raise ValueError(
                f"block {name!r} is {type(block).__name__}: only networks of SpikingBlock one after another are "
                f"compared with what they fold to"
            )
    if not any(isinstance(block.norm, TemporalNorm) for block in network.blocks.values()):
        raise ValueError("there is nothing to fold: no layer of this network has a norm with batch statistics")


class _Counts:
    """Sums over batch and neurons for every step, by network, what it is fed with, and layer."""

    def __init__(self, steps: int) -> None:
        self.steps, self.sums = steps, dict[tuple[str, str, str], Tensor]()

    def add(self, key: tuple[str, str, str], values: Tensor, first: int) -> None:
        """Of ``[S, B, ...]``, the first of which is step ``first``."""
        if key not in self.sums:
            self.sums[key] = torch.zeros(self.steps, dtype=torch.float64, device=values.device)
        self.sums[key][first : first + len(values)] += values.flatten(1).sum(1, dtype=torch.float64)

    def of(self, name: str, fed: str, layer: str) -> Tensor:
        return self.sums[name, fed, layer].cpu()


class _Going:
    """One batch on its way: the network, "", and what is folded from it, layer by layer, some steps at a time."""

    def __init__(self, network: SpikingNetwork, folded: dict[str, SpikingNetwork], counts: _Counts) -> None:
        self.networks, self.counts = {"": network, **folded}, counts
        self.states: dict[tuple[str, ...], Any] = {}
        self.neurons: dict[str, int] = {}
        self.logits: dict[str, Tensor] = {}
        """After the last step, by network."""

    def advance(self, drawn: Tensor, call: Call) -> None:
        """All networks by these steps."""
        inputs = dict.fromkeys(self.networks, drawn)
        for layer, block in self.networks[""].blocks.items():
            assert isinstance(block, SpikingBlock)
            spikes = self._fired("", "own", layer, drawn, call)
            self.neurons[layer] = spikes[0, 0].numel()
            self.counts.add(("", "", layer), spikes, call.first)
            after = _followed(block, spikes, call)
            for name in list(inputs)[1:]:
                alone = own = self._fired(name, "true", layer, drawn, call)
                if inputs[name] is not drawn:  # in the first layer the two are one
                    own = self._fired(name, "own", layer, inputs[name], call)
                self.counts.add((name, "true", layer), alone != spikes, call.first)
                self.counts.add((name, "own", layer), own != spikes, call.first)
                inputs[name] = _followed(block, own, call)
            inputs[""] = drawn = after
        for name, network in self.networks.items():
            x, key = real(inputs[name], network.readout), (name, "readout")
            logits, self.states[key] = passed("the readout", network.readout, x, call, self.states.get(key))
            self.logits[name] = logits[-1]

    def _fired(self, name: str, fed: str, layer: str, x: Tensor, call: Call) -> Tensor:
        """The spikes of one layer on an input, before they are pooled."""
        network, key = self.networks[name], (name, fed, layer)
        block: Any = network.blocks[layer]
        bare = SpikingBlock(block.synapse, block.norm, block.lif).train(block.training)
        bare.name = block.name
        work = Work(call, network.compute, Measure(), goes_on=True)
        went = advance_blocks({layer: bare}, x, work, [self.states.get(key)], mean=False)
        (self.states[key],) = went.states
        return went.out


def _followed(block: SpikingBlock, spikes: Tensor, call: Call) -> Tensor:
    """What leaves a block whose neurons fired so."""
    pool: nn.Module = block.pool
    pooled = fold_time(pool, spikes)
    if block.dropout is None:
        return pooled
    return passed(f"the dropout of {block.name}", block.dropout, pooled, call, None)[0]
