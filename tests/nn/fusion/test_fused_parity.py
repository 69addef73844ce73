"""Fused runs against the modules one by one: a row for every norm, neuron and block; and what one row cannot show."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import cycle, product

import pytest
import torch

import bntt
from bntt.engine.compute import Compute
from bntt.engine.cpu import library
from bntt.engine.graph import layer as engine_layer
from bntt.nn import NORMS
from bntt.nn.blocks import Readout
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.norms import BNTT
from tests.folding import RULES, SHAPES
from tests.grids import pairs
from tests.kernels import choose, needs_kernels, poisoned, variant
from tests.nn.networks import (
    FORMS,
    OPTIONS,
    NoBatchOfOne,
    alike,
    close,
    folded,
    leaking,
    loss_of,
    norm_of,
    noting,
    pair,
    residual,
    same_everywhere,
    small,
    spikes_of,
    teacher_forced,
    unsettled,
)

pytestmark = needs_kernels
_ = variant
T = 7
"""As many steps as neurons that fire before they integrate need to reach the readout."""
NETS: dict[str, dict[str, Callable[[], SpikingNetwork]]] = {
    "norms": {name: lambda name=name: unsettled(small(T, norm_of(name))) for name in (*NORMS, "window")},
    "neurons": {str(options): lambda o=options: small(T, threshold=0.8, **o) for options in OPTIONS},
    "leaks": {
        f"{each} {norm} {options}": lambda each=each, norm=norm, o=options: leaking(
            small(T, norm_of(norm)), each, 0.7, **o
        )
        for each, (options, norm) in product(
            ("layer", "channel"), zip(OPTIONS[::2], cycle(("bntt", "tab")), strict=False)
        )
    },
    "inputs that decay": {
        f"{each} {norm}": lambda each=each, norm=norm: leaking(small(T, norm_of(norm)), each, 0.4, decay_input=True)
        for each, norm in product(("fixed", "layer", "channel"), ("bntt", "tdbn", "layer", "none"))
    },
    "residual": {
        f"{form} {dropout}": lambda form=form, dropout=dropout: residual(form, T, dropout=dropout)
        for form, dropout in product(FORMS, (0.0, 0.4))
    },
    "residual norms": {
        f"{form} {norm}": lambda form=form, norm=norm: residual(form, T, norm_of(norm))
        for norm, form in zip(NORMS, cycle(FORMS), strict=False)
    },
    "residual inputs that decay": {
        f"{form} {each}": lambda form=form, each=each: leaking(residual(form, T), each, 0.4, decay_input=True)
        for form, each in zip(cycle(FORMS), ("fixed", "layer", "channel", "layer", "channel"), strict=False)
    },
    "folded": {
        f"{shape} {rules}": lambda shape=shape, rules=rules: folded(shape, T, rule=rules[0], reset=rules[1])
        for shape, rules in zip([*SHAPES, *SHAPES], cycle(RULES), strict=False)
    },
}


@pairs(
    kind=NETS,
    training=[True, False],
    recompute=["never", 2, 3],
    chunk=[1, engine_layer.CHUNK_BYTES],
    batch=[2, 5],
    variant=library.variants(),
)
def test_every_part_is_what_its_modules_are(kind, training, recompute, chunk, batch, variant, rng, monkeypatch):
    """Logits, every gradient and statistic; without gradients too, on floats and on bytes; in buffers full of NaN."""
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    rng.manual_seed(3)  # of numbers without a tie, which could fall either way
    for name, make in NETS[kind].items():
        with noting(name), poisoned():
            (ours, theirs), x = pair(make(), dtype=torch.float64), spikes_of(T, batch, rng)
            assert not ours.plan(x.shape).reason
            choose(ours, recompute=recompute)
            with torch.no_grad():
                assert close(ours(x), theirs(x.double()))
            for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
                assert torch.allclose(p.to(q.dtype), q, rtol=1e-5, atol=1e-6)
            ours.load_state_dict(theirs.state_dict())
            ours.train(training), theirs.train(training)
            alike(ours, theirs, x, seed=1, draw=3)
            ours.eval(), theirs.eval()
            with torch.no_grad():
                assert close(ours(x[:, :1].to(torch.int8)), theirs(x[:, :1].double()))


@pairs(
    kind=["norms", "leaks", "inputs that decay", "residual", "folded"],
    training=[True, False],
    recompute=["never", 2],
    sizes=[[2, 5], [1, 3, 3]],
    detached=[True, False],
)
def test_every_part_goes_on_from_a_state(kind, training, recompute, sizes, detached, rng):
    """What earlier steps left counts, in every gradient; or in none that goes through it, where it is detached."""
    for name, make in NETS[kind].items():
        with noting(name):
            (ours, theirs), x = pair(make().train(training), dtype=torch.float64), spikes_of(T, 4, rng)
            if training and any(bntt.nn.norm_facts(part).looks_ahead for part in ours.modules()):
                continue
            choose(ours, recompute=recompute)
            for net, given in ((ours, x), (theirs, x.double())):
                state, loss = None, torch.zeros(())
                for part in given.split(sizes):
                    logits, state = net.advance(part, state, **({} if state else {"seed": 1}))
                    loss, state = loss + loss_of(logits), state.detach() if detached else state
                loss.backward()
            same_everywhere(ours, theirs)


@pairs(training=[True, False], batch=[1, 7], steps=[1, 2, 5], variant=library.variants())
def test_few_steps_and_one_sample(steps, batch, training, variant, rng):
    ours, theirs = pair(small(steps, norm=NoBatchOfOne if batch == 1 else BNTT).train(training))
    x = spikes_of(steps, batch, rng)
    a, b = ours(x.to(torch.int8)), theirs(x)
    for logits in (a, b):  # of one step of one sample no spike comes to the readout: the loss may not be flat at 0
        loss_of(logits + 1).backward()
    assert close(a, b)
    same_everywhere(ours, theirs)
    if training:
        bias = ours.blocks["conv2"].synapse.bias.grad
        assert not bias.any(), "batch statistics take a constant away, and no rounding is left here"


@pytest.mark.parametrize("name", ["vgg9", *FORMS])
def test_block_by_block_at_25_steps_teacher_forced(name, rng):
    """Each block gets the reference's own input. Where no spike differs from float64's, no gradient is further from it
    than a few times what the reference itself is in float32."""
    if name == "vgg9":
        net, x = bntt.models.vgg9(num_classes=10, num_steps=25, width=0.5), (25, 2, 3, 32, 32)
        for block in net.blocks.values():
            block.norm.gamma.data.mul_(1.2)
        x = torch.randint(-1, 2, x, generator=rng).float()
        times, floor, least = 2.5, 2e-6, 12
    else:
        net, x = residual(name, 25), spikes_of(25, 3, rng)
        times, floor, least = 4, 5e-6, 8
    compared = wrong = 0
    for part, block in net.blocks.items():
        outputs, gradients = teacher_forced(block, x, rng)
        off = [int(((output.double() - outputs[2]).abs() > 1e-3).sum()) for output in outputs[:2]]
        wrong += off[0]
        if off == [0, 0]:
            for ours, theirs, exact in gradients:
                assert (ours - exact).norm() <= times * (theirs - exact).norm() + floor * exact.norm(), part
                compared += 1
        x = outputs[1].detach()
    assert wrong <= 4
    assert compared >= least


def test_784_steps_of_a_fully_connected_network(rng):
    net = bntt.models.mlp(hidden=(20, 12), num_steps=784)
    x = torch.rand(784, 3, 1, generator=rng)
    readout = bntt.models.mlp(hidden=(20,), num_classes=2, num_steps=1).readout
    first = [
        SpikingNetwork({"fc1": copy.deepcopy(net.blocks["fc1"])}, Readout(copy.deepcopy(readout.synapse)))
        for _ in range(2)
    ]
    for one, kind in zip(first, ("cpu", "reference"), strict=True):
        one.compute = Compute(kind)
        one(x).square().sum().backward()
    same_everywhere(*first, tolerance=2e-4)
    assert torch.isfinite(net(x)).all()
