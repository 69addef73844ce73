"""Folded networks beside the network that they are of: differing spikes, layer by layer and as a whole."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from bntt.analysis import fold_equivalence
from bntt.analysis.equivalence import EQUIVALENCE, EquivalenceArguments, measure_equivalence
from bntt.analysis.equivalence.folding import FOLDS
from bntt.analysis.measurement import ArgumentError, Facts, Progress
from bntt.data import PartLoader, stratified
from bntt.models import mlp, resnet20, vgg6
from bntt.nn import (
    LIF,
    Compute,
    DirectEncoder,
    LayerNorm,
    NeuronBlock,
    NoNorm,
    PoissonEncoder,
    Readout,
    SpikingClassifier,
    SpikingNetwork,
    TemporalNorm,
    fold,
)
from bntt.runs.measure import run_measurement
from tests.kernels import needs_kernels
from tests.rows import each_row
from tests.runs.tiny import opened_run

STEPS = 6
"""More than go through at once."""


def classifier(rng: torch.Generator, dtype: torch.dtype = torch.float64, **options) -> SpikingClassifier:
    """Five layers with poolings, and statistics that a training could have left."""
    net = vgg6(width=0.125, num_steps=STEPS, num_classes=4, image_size=8, in_channels=2, **options)
    with torch.no_grad():
        for norm in (module for module in net.modules() if isinstance(module, TemporalNorm)):
            norm.gamma.copy_(torch.rand(norm.gamma.shape, generator=rng) + 0.6)
            norm.gamma[2, 0], norm.gamma[3, 1] = 0.0, -0.5
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=rng) * 0.3)
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=rng) + 0.2)
    return SpikingClassifier(PoissonEncoder(STEPS, mean=[0.5] * 2, std=[0.3] * 2), net.to(dtype).eval())


def images(
    rng: torch.Generator, dtype: torch.dtype = torch.float64, sizes: tuple[int, ...] = (3,)
) -> list[tuple[Tensor, Tensor]]:
    """Batches of these sizes."""
    return [
        (torch.rand(size, 2, 8, 8, generator=rng).to(dtype), torch.randint(0, 4, (size,), generator=rng))
        for size in sizes
    ]


def seen(net: SpikingNetwork, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """What goes into every block, what its neurons fire, and what is said."""
    inputs, spikes = {}, {}
    for name, block in net.blocks.items():
        block.register_forward_pre_hook(lambda module, args, name=name: inputs.update({name: args[0]}))
        block.lif.register_forward_hook(lambda module, args, out, name=name: spikes.update({name: out[0]}))
    with torch.no_grad():
        return inputs, spikes, net(x).argmax(1)


def test_shares_are_those_of_whole_networks_and_of_layers_alone(rng):
    model, batches = classifier(rng), images(rng, sizes=(5, 3))
    found = fold_equivalence(model, batches, seed=3, draw=9)
    x = torch.cat([inputs for inputs, _ in batches])
    drawn = model.encoder(x, seed=3, draw=9, index=torch.arange(8))
    labels = torch.cat([labels for _, labels in batches])
    inputs, spikes, said = seen(copy.deepcopy(model.network), drawn)
    assert found.images == 8
    assert found.accuracy == (said == labels).double().mean()
    assert list(found.folds) == ["exact", "no mean", "no ratio", "Eq. 15"]
    for name, keeps in FOLDS.items():
        other, differences = fold(model.network, **keeps), found.folds[name]
        with torch.no_grad():
            alone = {
                layer: block.lif(torch.stack([block.synapse(x) for x in inputs[layer]]))[0]
                for layer, block in other.blocks.items()
            }
        _, whole, answers = seen(other, drawn)
        for layer, fired in spikes.items():
            for ours, theirs in (
                (differences.differing_true_spikes, alone),
                (differences.differing_own_spikes, whole),
            ):
                expected = (theirs[layer] != fired).double().flatten(1).mean(1)
                assert ours[layer] == pytest.approx(expected.tolist(), rel=1e-12), (name, layer)
                assert torch.any(expected > 0) == (name != "exact")
        assert differences.accuracy == (answers == labels).double().mean()
        assert differences.agreement == (answers == said).double().mean()
    for layer, fired in spikes.items():
        assert found.firing_rate[layer] == pytest.approx(fired.flatten(1).mean(1).tolist())


def test_steps_that_count_are_those_whose_spikes_reach_the_readout(rng):
    found = fold_equivalence(classifier(rng, fire="before"), images(rng))
    assert (found.heard_steps["conv1"], found.heard_steps["fc1"]) == ([2], [6])
    none = SpikingClassifier(PoissonEncoder(1), mlp(in_features=4, num_steps=1, fire="before"))
    assert not fold_equivalence(none, tiny(rng)).heard_steps["fc2"]


def tiny(rng: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(2, 1, 2, 2, generator=rng), torch.zeros(2, dtype=torch.int64))]


@pytest.mark.slow
@needs_kernels
def test_fused_it_is_as_plain_but_for_ties(rng):
    model, batches, found = classifier(rng, torch.float32), images(rng, torch.float32, sizes=(5, 3)), []
    for backend in ("cpu", "reference"):
        model.network.compute = Compute(backend)
        found.append(fold_equivalence(model, batches))
    fused, plain = found
    for name, one in fused.folds.items():
        for layer, row in one.differing_true_spikes.items():
            assert row == pytest.approx(plain.folds[name].differing_true_spikes[layer], abs=2e-3), (name, layer)
            assert name != "exact" or max(row) <= 2e-3
    for layer, rate in fused.firing_rate.items():
        assert rate == pytest.approx(plain.firing_rate[layer], abs=2e-3)
        assert sum(rate) > 0


def test_layers_without_a_norm_do_not_differ_by_themselves(rng):
    net = mlp(in_features=4, hidden=(6, 5), num_steps=3).double().eval()
    net.blocks["fc1"].norm = NoNorm()
    with torch.no_grad():
        net.blocks["fc1"].synapse[1].weight.mul_(4)
        net.blocks["fc2"].norm.running_mean.fill_(0.3)
    found = fold_equivalence(SpikingClassifier(PoissonEncoder(3), net), [(x.double(), y) for x, y in tiny(rng)])
    assert any(found.firing_rate["fc1"])
    assert not any(found.folds["Eq. 15"].differing_own_spikes["fc1"])


class Halved(nn.Module):
    """Works in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(0.5)


def test_a_pool_that_works_in_place_does_not_change_what_is_compared(rng):
    net = mlp(in_features=4, hidden=(8,), num_steps=3).double()
    net.blocks["fc1"].pool = Halved()
    inputs = [(torch.rand(6, 1, 2, 2, generator=rng).double(), torch.arange(6) % 10)]
    found = fold_equivalence(SpikingClassifier(DirectEncoder(3), net), inputs)
    assert any(found.firing_rate["fc1"])
    assert not any(found.folds["exact"].differing_true_spikes["fc1"])


def changed(change, **options):
    net = mlp(**{"in_features": 4, "hidden": (4, 4), "num_steps": 3} | options)
    change(net.blocks)
    return net


@each_row(
    "net, named",
    [
        (resnet20(num_steps=3, width=0.125, in_channels=1), "Residual"),
        (SpikingNetwork([NeuronBlock(LIF())], Readout(nn.Flatten())), "NeuronBlock"),
        (changed(lambda blocks: None, norm="none"), "nothing to fold"),
        (changed(lambda blocks: None, norm="layer"), "nothing to fold"),
        (changed(lambda blocks: setattr(blocks["fc2"], "norm", LayerNorm(4))), "'fc2' .* LayerNorm"),
        (changed(lambda blocks: blocks["fc1"].register_forward_pre_hook(lambda block, args: None)), "'fc1' has a hook"),
        (changed(lambda blocks: None, in_features=6), "'fc1'"),
    ],
)
def test_what_cannot_be_compared_says_why(net, named, rng):
    with pytest.raises(ValueError, match=named):
        fold_equivalence(SpikingClassifier(PoissonEncoder(3), net), tiny(rng))


FACTS = Facts("vgg9", "bntt", "poisson", 25, False, 5, True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def test_a_run_is_measured_on_images_of_each_class_with_its_own_noise(run):
    progress, asked = Progress(), EquivalenceArguments(images=20)
    found = measure_equivalence(run, asked, progress)
    assert progress.done == progress.total == found.images == 20
    assert (found.arguments, found.split, found.epoch) == (asked, "validation", 0)
    held_out, seed = run.data.validation, run.recipe.seed
    expected = fold_equivalence(run.model, PartLoader(held_out, stratified(held_out, 20, seed), 50), seed=seed)
    assert {key: getattr(found, key) for key in type(expected).model_fields} == dict(expected)
    assert found.heard_steps["conv1"] == [1, 2, 3]
    assert (found.folds["no mean"].keeps_mean, found.folds["no mean"].keeps_ratio) == (False, True)
    assert measure_equivalence(run, EquivalenceArguments("test", 12), Progress()).images == 12


def test_a_run_that_folds_to_nothing_is_refused(run):
    branched = SpikingClassifier(run.model.encoder, resnet20(in_channels=1, width=0.25, num_steps=3))
    with pytest.raises(ArgumentError, match=f"{run.path.name}: block"):
        run_measurement(EQUIVALENCE, [dataclasses.replace(run, model=branched)], EquivalenceArguments(), Progress())
    asked = EquivalenceArguments()
    for changes, refused in (
        ({}, False),
        ({"norm": "tebn"}, False),
        ({"norm": "layer"}, True),
        ({"is_ann": True}, True),
    ):
        assert bool(EQUIVALENCE.refusal(dataclasses.replace(FACTS, **changes), asked)) == refused
