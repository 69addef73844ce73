"""A test of the paper's equivalence (Section 3.3): BNTT against a threshold that varies with time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, presented, right_answers
from bntt.analysis.equivalence import Equivalence, FoldedNetwork
from bntt.engine.graph.node import PassContext
from bntt.nn.blocks import SpikingBlock, fold_time, passed
from bntt.nn.call import Call, evaluating, noise_of
from bntt.nn.kinds import norm_facts
from bntt.nn.network.advance import advance_blocks, real
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.delays import delays
from bntt.nn.network.fold import fold
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.untouched import why_touched

STEPS_AT_ONCE = 5
FOLDS = {
    "exact": {"mean": True, "ratio": True},
    "no mean": {"mean": False, "ratio": True},
    "no ratio": {"mean": True, "ratio": False},
    "Eq. 15": {"mean": False, "ratio": False},
}
"""Parts of the normalisation that each of the four networks keeps, see :mod:`bntt.ops.fold`."""
BATCH = 50
"""Number of images at a time; nine networks hold membranes for them."""


@torch.no_grad()
def fold_equivalence(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> Equivalence:
    """Return a network compared with four folds of it: exact, without mean, without ratio, and Eq. 15 (neither).

    The ratio, of the scales of two consecutive steps, is a factor of the leak. Each layer is compared before its pool,
    alone on the network's true spikes, and in the folded network on its own spikes, where errors add up. In float32 the
    exact fold differs where rounding decides a spike. The model runs in evaluation mode and is left unchanged.

    Args:
        model: a classifier whose blocks have norms to fold.
        batches: as :func:`~bntt.analysis.evaluate` takes them.
        seed, draw: identify the encoder's noise.
        progress: called after every batch, with its number of samples.

    Raises:
        ValueError: if the network is not a sequence of :class:`~bntt.nn.SpikingBlock`, none of them has a norm to fold,
            one cannot be folded, there are no samples, or labels are not classes.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=3)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(3, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> found = fold_equivalence(model, loader)
    >>> list(found.folds), sum(found.folds["no mean"].differing_own_spikes["fc1"])
    (['exact', 'no mean', 'no ratio', 'Eq. 15'], 0.0)
    """
    check_classifier(model, "fold_equivalence() takes")
    _check_sequence(model.network)
    total, device, seen = model.encoder.num_steps, next(model.parameters()).device, 0
    compared = _Comparison(model.network, total, device)
    hits, same = dict.fromkeys(compared.networks, 0), dict.fromkeys(compared.networks, 0)
    with evaluating(model):
        for _, inputs, labels, noise in presented(model, batches, "compare", seed, 1, progress, draw=draw):
            compared.states = {}
            for first in range(0, total, STEPS_AT_ONCE):
                steps = range(first, min(total, first + STEPS_AT_ONCE))
                drawn = model.encoder(inputs, steps=steps, **noise)
                compared.advance(drawn, Call(first, noise=noise_of(None, len(inputs), **noise)))
            answers = compared.logits[""].argmax(1)
            for name, logits in compared.logits.items():
                hits[name] += int(right_answers(logits, labels).sum())
                same[name] += int((logits.argmax(1) == answers).sum())
            seen += len(labels)

    def shares(name: str, fed: str) -> dict[str, list[float]]:
        sums = {layer: compared.sums[name, fed, layer].cpu() for layer in compared.neurons}
        return {layer: (sums[layer] / (seen * size)).tolist() for layer, size in compared.neurons.items()}

    return Equivalence(
        images=seen,
        accuracy=hits[""] / seen,
        firing_rate=shares("", ""),
        heard_steps={
            layer: [t + 1 for t in delay.reaching_readout(total)] for layer, delay in delays(model.network).items()
        },
        folds={
            name: FoldedNetwork(
                keeps_mean=keeps["mean"],
                keeps_ratio=keeps["ratio"],
                accuracy=hits[name] / seen,
                agreement=same[name] / seen,
                differing_true_spikes=shares(name, "true"),
                differing_own_spikes=shares(name, "own"),
            )
            for name, keeps in FOLDS.items()
        },
    )


def _check_sequence(network: SpikingNetwork) -> None:
    """Refuse a network that is not a sequence of :class:`~bntt.nn.SpikingBlock`, or has no norm to fold."""
    blocks = network.blocks
    why = "only networks of SpikingBlock one after another can be compared with their folds"
    kinds = {name: type(block) for name, block in blocks.items()}
    other = [f"block {name!r} is {kind.__name__}: {why}" for name, kind in kinds.items() if kind is not SpikingBlock]
    touched = {name: why_touched(block) for name, block in blocks.items()}
    other += [f"block {name!r} {one}, and its parts are compared one by one" for name, one in touched.items() if one]
    if other:
        raise ValueError(other[0])
    if not any(norm_facts(block.norm).running_statistics for block in blocks.values()):
        raise ValueError("there is nothing to fold: no layer of this network has a norm with batch statistics")


class _Comparison:
    """The network, named "", and its folds: a batch passes through all of them, some steps at a time."""

    def __init__(self, network: SpikingNetwork, steps: int, device: torch.device) -> None:
        self.networks = {"": network} | {name: fold(network, **keeps) for name, keeps in FOLDS.items()}
        none = partial(torch.zeros, steps, dtype=torch.float64, device=device)
        self.sums = defaultdict[tuple[str, str, str], Tensor](none)  # by network, kind of input spikes, and layer
        self.states: dict[tuple[str, ...], Any] = {}  # the same; empty at rest
        self.neurons, self.logits = dict[str, int](), dict[str, Tensor]()

    def advance(self, drawn: Tensor, call: Call) -> None:
        """Advance all networks by these steps."""
        inputs = dict.fromkeys(self.networks, drawn)
        for layer, block in self.networks[""].blocks.items():
            spikes = self._fired("", "own", layer, drawn, call)
            self.neurons[layer] = spikes[0, 0].numel()
            self._add(("", "", layer), spikes, call.first)
            after = _block_output(block, spikes, call)
            for name in list(inputs)[1:]:
                alone = own = self._fired(name, "true", layer, drawn, call)
                if inputs[name] is not drawn:  # in the first layer the two are the same
                    own = self._fired(name, "own", layer, inputs[name], call)
                self._add((name, "true", layer), alone != spikes, call.first)
                self._add((name, "own", layer), own != spikes, call.first)
                inputs[name] = _block_output(block, own, call)
            inputs[""] = drawn = after
        for name, network in self.networks.items():
            x, key = real(inputs[name], network.readout), (name, "readout")
            logits, self.states[key] = passed("the readout", network.readout, x, call, self.states.get(key))
            self.logits[name] = logits[-1]

    def _add(self, key: tuple[str, str, str], values: Tensor, first: int) -> None:
        """Add values ``[S, B, ...]`` of the steps from ``first`` on."""
        self.sums[key][first : first + len(values)] += values.flatten(1).sum(1, dtype=torch.float64)

    def _fired(self, name: str, fed: str, layer: str, x: Tensor, call: Call) -> Tensor:
        """Return the spikes of one layer for an input, before they are pooled."""
        network, key = self.networks[name], (name, fed, layer)
        block: Any = network.blocks[layer]
        bare = SpikingBlock(block.synapse, block.norm, block.lif).train(block.training)
        bare.path = block.path
        how = PassContext(network.compute, goes_on=True)
        went = advance_blocks({layer: bare}, x, call, how, [self.states.get(key)], mean=False)
        (self.states[key],) = went.states
        return went.out


def _block_output(block: Any, spikes: Tensor, call: Call) -> Tensor:
    """Return the output of a block for given spikes of its neurons."""
    pooled = fold_time(block.pool, spikes.clone())  # it may work in place
    if block.dropout is None:
        return pooled
    return passed(f"the dropout of {block.name}", block.dropout, pooled, call, None)[0]
