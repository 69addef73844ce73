"""A network without its norms, and at another T: the spikes that it had, tables by their formulas."""

from __future__ import annotations

import copy
from itertools import cycle

import numpy as np
import pytest
import torch
from torch import Tensor

from bntt.models import mlp, vgg6
from bntt.nn import NORMS
from bntt.nn.blocks import CurrentBlock, Readout, Residual, SpikingBlock
from bntt.nn.network.fold import fold, normalisation_of, retime
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF
from bntt.nn.norms import NoNorm, NormMethod, TemporalNorm
from bntt.ops.pooling import Window
from tests.folding import RULES
from tests.grids import every_value, pairs
from tests.kernels import choose
from tests.nn.networks import backward, close, linear, residual, small, spikes_of
from tests.rows import each_row

STEPS = 7
"""``fire_before`` answers a step later in each of four layers."""
BATCH_STATISTICS = [name for name in NORMS if name not in ("layer", "none")]


def unsettled(net: SpikingNetwork, rng: torch.Generator) -> SpikingNetwork:
    """With statistics, γ, β and p as they may be: of both signs, and 0 in some steps of some channels."""
    with torch.no_grad():
        for norm in (module for module in net.modules() if isinstance(module, TemporalNorm)):
            norm.gamma.copy_(torch.randn(norm.gamma.shape, generator=rng))
            norm.gamma[-1, :3], norm.gamma[len(norm.gamma) // 2, 2] = torch.tensor([0.0, 1e-4, -1e-4]), 0.0
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=rng) * 0.3)
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=rng) + 0.5)
            if norm.beta is not None:
                norm.beta.copy_(torch.randn(norm.beta.shape, generator=rng) * 0.5)
            if norm.step_scale is not None:
                norm.step_scale.copy_(1 + torch.randn(norm.step_scale.shape, generator=rng) * 0.7)
                norm.step_scale[2] = 0.0
    return net.eval()


def small_with(norm: str, rng: torch.Generator, **neuron) -> SpikingNetwork:
    return unsettled(
        small(STEPS, lambda channels, steps: NORMS[norm](channels, steps, 0.8), threshold=0.8, **neuron), rng
    )


def every_spike(net: SpikingNetwork, x: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    hooks = [
        layer.lif.register_forward_hook(lambda module, args, out, name=name: found.update({name: out[0].detach()}))
        for name, layer in net.layers.items()
        if layer.lif is not None
    ]
    net(x)
    for hook in hooks:
        hook.remove()
    return found


def same_spikes(net: SpikingNetwork, other: SpikingNetwork, x: Tensor) -> None:
    expected, found = every_spike(net, x), every_spike(other, x)
    assert list(found) == list(expected)
    for name, spikes in expected.items():
        assert torch.equal(found[name], spikes), name
        assert spikes.any(), name
    assert not any(isinstance(module, TemporalNorm) for module in other.modules())


@each_row("norm, rule_and_reset", list(zip(BATCH_STATISTICS, cycle(RULES), strict=False)))
def test_every_spike_and_gradient_in_float64(norm, rule_and_reset, rng):
    rule, reset = rule_and_reset
    net = small_with(norm, rng, rule=rule, reset=reset).double()
    other, x = fold(net), spikes_of(STEPS, 2, rng).double()
    same_spikes(net, other, x)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    logits = [backward(one, given) for one, given in zip((net, other), inputs, strict=True)]
    assert close(logits[1], logits[0], 1e-12)
    assert close(inputs[1].grad, inputs[0].grad, 1e-9)
    kept = [p for name, p in net.named_parameters() if "norm" not in name]
    for (name, p), q in zip(other.named_parameters(), kept, strict=True):
        assert close(p.grad, q.grad, 1e-9), name


def test_every_spike_of_a_loop(rng):
    """Eq. 4 and 9 written out for one layer and its readout: TEBN, of which everything is there."""
    net = mlp(in_features=3, hidden=(9,), num_classes=2, num_steps=5, norm="tebn", threshold=0.7, leak=0.8)
    net = unsettled(net, rng).double()
    block, x = net.blocks["fc1"], torch.randn(5, 6, 3, generator=rng, dtype=torch.float64) * 2
    norm, weight = block.norm, block.synapse[-1].weight.detach().numpy()
    gamma, beta, p = (q.detach().numpy() for q in (norm.gamma[0], norm.beta[0], norm.step_scale))
    mean, var = norm.running_mean[0].numpy(), norm.running_var[0].numpy()
    expected, u = np.zeros((5, 6, 9)), np.zeros((6, 9))
    for t, spikes in enumerate(x.numpy()):
        z = p[t] * (gamma * (spikes @ weight.T - mean) / np.sqrt(var + norm.eps) + beta)
        m = 0.8 * u + z
        expected[t] = m > 0.7
        u = m - 0.7 * expected[t]
    folded = fold(net)
    assert np.array_equal(every_spike(folded, x)["fc1"].numpy(), expected)
    assert 0.1 < expected.mean() < 0.6
    readout = net.readout.synapse.weight.detach().numpy()
    assert np.allclose(folded(x).detach().numpy(), (expected @ readout.T).mean(0), rtol=1e-12)


@pairs(learn_leak=["layer", "channel"], decay_input=[False, True])
def test_leaks_that_were_learned(learn_leak, decay_input, rng):
    leak = 0.4 if decay_input else 0.8
    net = mlp(in_features=6, hidden=(9, 8), num_steps=STEPS, learn_leak=learn_leak, leak=leak, decay_input=decay_input)
    with torch.no_grad():
        for block in net.blocks.values():
            block.lif.leak_logit.add_(torch.randn(block.lif.leak_logit.shape, generator=rng))
    net = unsettled(net, rng).double()
    same_spikes(net, fold(net), torch.randn(STEPS, 5, 6, generator=rng).double() * 3)


@each_row(
    "build, size",
    [
        (lambda: residual("spikes", STEPS), (2, 8)),
        (lambda: vgg6(width=0.25, num_steps=STEPS, fire="before", reset="hard", threshold=0.3, dropout=0.2), (1, 28)),
    ],
)
def test_whole_models_fold(build, size, rng):
    net, (channels, side) = unsettled(build(), rng).double(), size
    same_spikes(net, fold(net), torch.randint(-1, 2, (STEPS, 2, channels, side, side), generator=rng).double())


def test_the_original_is_left_and_shares_nothing(rng):
    net = small_with("bntt", rng)
    net.train()
    before = copy.deepcopy(net.state_dict())
    other = fold(net)
    assert net.training
    assert not other.training
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers()]:
            tensor.zero_()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(type(block.lif) is LIF for block in net.blocks.values())
    assert other.compute == net.compute


def test_layers_without_a_norm_stay():
    net = mlp(in_features=4, hidden=(3,), norm="none")
    assert type(fold(net).blocks["fc1"].lif) is LIF
    assert fold(net).num_steps is None
    mixed = Residual({"a": SpikingBlock(linear(3, 3), NoNorm(), LIF()), "b": CurrentBlock(linear(3, 3), NoNorm())})
    assert type(fold(SpikingNetwork([mixed], Readout(linear(3, 2)))).blocks["block1"].body["a"].lif) is LIF


@each_row("mean, ratio", [(False, True), (True, False), (False, False)])
def test_what_the_approximations_leave_out(mean, ratio, rng):
    """Without the mean it is the network whose running means are 0; without the ratio every leak is λ."""
    net = small_with("bntt", rng).double()
    found, exact, centred = fold(net, mean=mean, ratio=ratio), fold(net), copy.deepcopy(net)
    for block in centred.blocks.values():
        block.norm.running_mean.zero_()
    x = spikes_of(STEPS, 2, rng).double()
    if ratio:
        expected, spikes = every_spike(centred, x), every_spike(found, x)
        assert all(torch.equal(spikes[name], value) for name, value in expected.items())
    for name, block in found.blocks.items():
        scale = normalisation_of(net.blocks[name].norm).scale
        assert bool((block.lif.leak == 0.9).all()) == (not ratio)
        if mean:
            assert torch.equal(block.lif.bias[scale != 0], -net.blocks[name].norm.running_mean[scale != 0])
    assert not torch.equal(every_spike(found, x)["conv1"], every_spike(exact, x)["conv1"])


FEW = 5
TABLES = ("gamma", "beta", "step_scale", "running_mean", "running_var")
PER_STEP = {
    "bntt": ("gamma", "running_mean", "running_var"),
    "bntt-scaled": ("gamma", "running_mean", "running_var"),
    "bntt-beta": ("gamma", "beta", "running_mean", "running_var"),
    "tdbn": (),
    "tebn": ("step_scale",),
    "tab": ("gamma", "beta", "step_scale", "running_mean", "running_var"),
    "bn": (),
    "bn-pooled": (),
    "bntt-shared-gamma": ("running_mean", "running_var"),
    "bntt-shared-statistics": ("gamma",),
    "bntt-shared-both": (),
}


def tabled(norm, rng, backend="auto", build=mlp, num_steps=FEW):
    """A network whose tables differ in every row."""
    options = {"in_features": 3, "hidden": (6, 5)} if build is mlp else {"width": 0.125}
    net = build(num_classes=4, num_steps=num_steps, leak=0.9, norm=norm, seed=1, **options)
    choose(net, backend=backend)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, TemporalNorm):
                for name in TABLES:
                    if (table := getattr(module, name)) is not None:
                        table.copy_(torch.rand(table.shape, generator=rng) + 0.5)
                module.running_mean.sub_(1)
    return net.eval()


def expected(table, wanted, how):
    """Row by row, as ops/retime.py states it."""
    rows, last = [], len(table) - 1
    for t in range(wanted):
        s = t * last / (wanted - 1) if how == "interpolate" and wanted > 1 else min(t, last)
        k = min(int(s), last)
        rows.append((1 - s + k) * table[k] + (s - k) * table[min(k + 1, last)])
    return torch.stack(rows)


@each_row("norm", PER_STEP)
@each_row(
    "how, steps, wanted",
    [
        *(("truncate", FEW, wanted) for wanted in (1, 3, FEW)),
        *(("hold", FEW, wanted) for wanted in (FEW, 8)),
        *(("interpolate", *sizes) for sizes in ((FEW, 8), (4, 11), (2, 3), (1, 4), (1, 1))),
    ],
)
def test_every_table_is_by_its_formula_and_what_is_shared_stays(norm, how, steps, wanted, rng):
    net = tabled(norm, rng, num_steps=steps)
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    new = retime(net, wanted, how)
    for name, block in net.blocks.items():
        old, made = block.norm, new.blocks[name].norm
        assert tuple(table for table, _ in old.step_tables()) == PER_STEP[norm]
        assert (made.num_steps, made.path, made.method) == (wanted, old.path, old.method)
        for table in TABLES:
            was, now = getattr(old, table), getattr(made, table)
            if table in PER_STEP[norm]:
                assert torch.allclose(now, expected(was, wanted, how), atol=1e-6), table
                assert type(now) is type(was)
            elif was is not None:
                assert torch.equal(now, was)
                assert now.data_ptr() != was.data_ptr()
    assert (net.num_steps, new.num_steps) == (steps, wanted)
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())


@each_row("norm", NORMS)
@each_row("backend", ["auto", "reference"])
def test_truncated_is_the_networks_own_first_steps(norm, backend, rng):
    net, x = tabled(norm, rng, backend), torch.randn(FEW, 4, 3, generator=rng)
    logits = retime(net, 3, "truncate")(x[:3])
    assert torch.allclose(logits, net(x[:3], steps=3), atol=1e-6)
    assert logits.abs().max() > 0


@every_value(norm=NORMS, how__build=[("hold", mlp), ("interpolate", mlp), ("hold", vgg6)])
def test_longer_is_the_same_fused_and_plain_and_in_training(norm, how, build, rng):
    """Spikes agree but for ties, which would show in the logits of one sample; gradients reach every row."""
    shape = (8, 4, 3) if build is mlp else (8, 4, 1, 28, 28)
    x = torch.randn(shape, generator=rng)
    net = tabled(norm, rng, build=build)
    fused, plain = retime(net, 8, how), retime(net, 8, how)
    choose(plain, backend="reference")
    a, b = fused(x), plain(x)
    assert ((a - b).abs().amax(1) < 1e-4).sum() >= 3
    assert how == "interpolate" or torch.allclose(plain.trace(x).logits[:FEW], net.trace(x[:FEW]).logits, atol=1e-4)
    assert a.abs().max() > 0
    if build is mlp:
        fused.train()(x).square().sum().backward()
        for block in fused.blocks.values():
            for name, table in block.norm.step_tables() if isinstance(block.norm, TemporalNorm) else ():
                if isinstance(table, torch.nn.Parameter):
                    assert len(table.grad) == 8, name
                    assert table.grad.reshape(8, -1).any(1).all(), name


@each_row("norm, table", [("bntt", "gamma"), ("tebn", "step_scale")])
def test_holding_a_last_step_near_silence_is_told(norm, table, rng):
    net = tabled(norm, rng)
    with torch.no_grad():
        getattr(net.blocks["fc2"].norm, table)[-1] = 0.02
    with pytest.warns(UserWarning, match=r"0\.02.* in fc2"):
        retime(net, 8, "hold")
    for wanted, how in ((8, "interpolate"), (5, "hold"), (3, "truncate")):
        retime(net, wanted, how)


def test_tied_tables_stay_tied():
    net = mlp(in_features=4, hidden=(8, 8), num_steps=4)
    net.blocks["fc2"].norm.gamma = net.blocks["fc1"].norm.gamma
    longer = retime(net, 6, "hold")
    assert longer.blocks["fc2"].norm.gamma is longer.blocks["fc1"].norm.gamma
    assert longer.blocks["fc2"].norm.running_mean is not longer.blocks["fc1"].norm.running_mean


def test_modes_and_frozen_parameters_stay(rng):
    window = mlp(
        hidden=(4,), num_steps=FEW, norm=lambda c, t, _: TemporalNorm(c, t, NormMethod("W", pooling=Window(3)))
    )
    assert retime(window, 4, "truncate").num_steps == 4
    net = tabled("bntt", rng)
    net.blocks["fc1"].norm.gamma.requires_grad_(False)
    assert not retime(net, 8, "hold").blocks["fc1"].norm.gamma.requires_grad
    assert not retime(net, 8, "hold").training
    assert retime(net.train(), 8, "hold").blocks["fc1"].norm.training
