"""Cases are what they say: networks at the asked activity, and steps that train or evaluate."""

from dataclasses import replace

import pytest
import torch

from bntt.bench import cases
from bntt.bench.cases import Case, dense_limit, firing_rates, images, network, own_step, step_of
from bntt.engine import kernels as backend
from bntt.engine.cpu.library import use_variant
from bntt.engine.graph import spans as recompute
from bntt.engine.graph import stack as fused
from bntt.engine.winograd import InputGrad
from tests.kernels import needs_kernels

SMALL = Case("small", num_steps=2, batch=3, width=0.1)


def test_gamma_sets_the_activity():
    busy, quiet = (firing_rates(Case("x", num_steps=4, batch=4, width=0.2, gamma=g)) for g in (1.0, 0.4))
    assert set(busy) == {"conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "conv7", "fc1"}
    assert sum(quiet.values()) < sum(busy.values()) / 2


def test_evaluation_fires_as_training_does():
    trained = network(SMALL)
    assert trained.training
    assert not torch.equal(trained.blocks["conv1"].norm.running_var, torch.ones(2, 6))
    assert not network(Case("e", num_steps=2, batch=3, width=0.1, training=False)).training


@needs_kernels
@pytest.mark.parametrize(("kind", "kernels"), [("vgg9", True), ("mlp", False)])
def test_a_step_of_ours(kind, kernels):
    case = Case("x", network=kind, num_steps=2, batch=3, width=0.1)
    own_step(case, kernels=kernels)()
    evaluated = own_step(Case("x", network=kind, num_steps=2, batch=3, width=0.1, training=False), kernels=kernels)()
    assert isinstance(evaluated, torch.Tensor)
    assert not evaluated.requires_grad
    dense_limit(case)()


@needs_kernels
def test_the_dense_limit_takes_gradients_by_the_way_of_our_step(monkeypatch):
    """Winograd's where its shape lets it pay; a limit that goes another way is none."""
    begun, real = [], InputGrad.begin
    monkeypatch.setattr(
        InputGrad, "begin", lambda synapse, *args: begun.append(synapse.weight.shape) or real(synapse, *args)
    )
    case, ways = Case("x", num_steps=2, batch=3, width=0.25), []
    for make in (own_step, dense_limit):
        make(case)()
        ways.append(sorted(begun))
        begun.clear()
    assert ways[0] == ways[1]
    assert bool(ways[0]) == (use_variant() != "portable")
    dense_limit(replace(case, training=False))()
    assert not begun


@needs_kernels
def test_a_step_that_computes_again_keeps_the_square_root_of_all_steps(monkeypatch):
    spans = []
    real = recompute.span_of
    monkeypatch.setattr(fused, "span_of", lambda *args: spans.append(real(*args)) or spans[-1])
    for again in (False, True):
        own_step(Case("x", network="mlp", num_steps=10, batch=3, width=0.1), recompute=again)()
    assert spans == [10, 4]


def test_a_training_step_leaves_gradients():
    net = network(SMALL)
    pixels, labels = images(SMALL)
    step_of(net, lambda: net(pixels.expand(2, -1, -1, -1, -1)), labels, True)()
    assert all(p.grad is not None for p in net.parameters())


def test_peers_are_listed_only_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(cases, "find_spec", lambda name: None)
    assert cases.installed_peers() == []
    monkeypatch.setattr(cases, "find_spec", lambda name: object() if name == "spikingjelly" else None)
    assert cases.installed_peers() == ["spikingjelly", "spikingjelly unbind"]
    assert set(cases.USUAL) <= set(cases.OURS)
    assert set(cases.SLEEPING) <= set(cases.OURS) <= set(cases.VARIANTS)


def test_bf16_can_be_timed_only_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    assert not [name for name in cases.available() if "bf16" in name]
    monkeypatch.setattr(backend, "has_bf16", lambda: True)
    assert set(cases.OURS) <= set(cases.available())
    assert set(cases.usual()) == {*cases.USUAL, *cases.installed_peers()}


def test_the_peers_stay_on_the_processor(monkeypatch):
    monkeypatch.setattr(cases, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert cases.available("cuda") == ["loop", "reference", "fused", "recompute", "dense limit"]
    assert cases.usual("cuda") == list(cases.USUAL)
