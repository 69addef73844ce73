"""What is fused and what is not: hooks, modules of yours, other numbers, and the reasons that are given."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine import kernels
from bntt.engine.compute import Compute
from bntt.engine.kernels import BackendError
from bntt.nn import (
    LIF,
    Call,
    Measure,
    NeuronBlock,
    NoNorm,
    NormMethod,
    Readout,
    SpikingBlock,
    SpikingNetwork,
    TemporalNorm,
    Window,
)
from bntt.nn.fuse import plan_of
from tests.kernels import choose, needs_kernels
from tests.nn.networks import backward, close, conv, quiet, small, spikes_of

pytestmark = needs_kernels


def test_a_choice_is_a_choice_and_must_be_here(monkeypatch, no_hook):
    net = small(3)
    with pytest.raises(TypeError, match=r"compute must be a Compute\(.*, got 'cpu'"):
        net.compute = "cpu"
    monkeypatch.setattr(kernels, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match=r"precision 'bf16' is not available here"):
        choose(net, precision="bf16")


def neuron(net, **other):
    lif = net.blocks["conv2"].lif
    lif.neuron = replace(lif.neuron, **other)


@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_neurons_on_a_row_of_places_run_as_written(rng):
    """Of [S, B, C, L], whose shape the kernels do not know."""
    first, last = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 3, 3, padding=1)
    blocks = [SpikingBlock(first, NoNorm(), LIF(0.5)), NeuronBlock(LIF(0.9)), SpikingBlock(last, NoNorm(), LIF(0.5))]
    net = SpikingNetwork(blocks, Readout(nn.Sequential(nn.Flatten(), nn.Linear(18, 3)))).eval()
    x = 3 * torch.rand(4, 2, 2, 6, generator=rng)
    found, state = net.advance(x, measure=Measure(spikes=True))
    assert state.measured["block2"].spikes.shape == (4, 4)
    choose(net, backend="reference")
    assert torch.equal(found, net.advance(x)[0])


class OwnPooling(Window):
    """Fused it would be a window of this length."""


POOLED = NormMethod("Own", pooling=OwnPooling(1))


class TestWhatIsNotFused:
    def test_a_hook_sees_real_floats(self, rng):
        net = small(3)
        x = spikes_of(3, 4, rng)
        plain = net(x)
        seen: list[Tensor] = []
        net.blocks["conv2"].lif.register_forward_hook(lambda module, args, out: seen.append(out[0]))
        hooked = net(x.to(torch.int8))
        assert seen[0].shape == (3, 4, 40, 5, 5)
        assert seen[0].is_floating_point()
        assert close(hooked, plain)

    def test_a_module_of_yours_in_the_middle(self, rng):
        class Mine(nn.Module):
            def forward(self, x: Tensor, call: Call = Call(), state: None = None) -> tuple[Tensor, None]:
                return x, None

        net = small(3)
        net.blocks["conv2"].norm = Mine()
        ours, theirs = net, copy.deepcopy(net)
        choose(theirs, backend="reference")
        x = spikes_of(3, 4, rng)
        assert close(backward(ours, x), backward(theirs, x))
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert close(p.grad, q.grad)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                lambda net: setattr(net.blocks["conv2"], "lif", LIF(0.9, learn_leak=True, channels=41)),
                "its 41 leaks are",
            ),
            (lambda net: neuron(net, surrogate=lambda v: v), "surrogate is a custom one"),
            (lambda net: neuron(net, reset=lambda u, o, t: u), "reset is a custom one"),
            (lambda net: setattr(net.blocks["conv2"], "lif", quiet()), "its neurons are Quiet, which the"),
            (
                lambda net: setattr(net.blocks["conv2"], "norm", TemporalNorm(40, 3, POOLED)),
                "its pooling is OwnPooling",
            ),
            (lambda net: setattr(net.blocks["conv2"], "norm", bntt.nn.LayerNorm(41)), "norm takes 41 channels"),
            (lambda net: setattr(net.blocks["conv2"], "norm", type("Own", (NoNorm,), {})()), "norm is Own, which the"),
            (lambda net: setattr(net.blocks["conv2"], "pool", nn.MaxPool2d(3, 2)), "pool is MaxPool2d"),
            (lambda net: setattr(net.blocks["conv2"], "synapse", nn.Sequential(conv(21, 40, 3))), "neither"),
            (lambda net: net.blocks["conv2"].double(), "float64"),
        ],
    )
    def test_backend_cpu_names_the_block_and_the_reason(self, change, reason, rng):
        net = small(3)
        choose(net, backend="cpu")
        change(net)
        with pytest.raises(BackendError, match=f"block 'conv2' cannot run on backend 'cpu': .*{reason}"):
            net(spikes_of(3, 4, rng))

    def test_float64_compiled_and_autocast_inputs_take_the_reference(self, rng):
        net, x = small(3), spikes_of(3, 4, rng)
        blocks = dict(net.blocks.items())
        assert len(plan_of(blocks, x, Compute()).fused) == 4
        assert "float64" in plan_of(blocks, x.double(), Compute()).reason
        with torch.autocast("cpu"):
            assert "autocast" in plan_of(blocks, x, Compute()).reason
        assert net.double()(x.double()).dtype == torch.float64

    def test_the_modules_errors_stay(self, rng):
        net = small(3)
        with pytest.raises(ValueError, match=r"block 'conv1' takes"):
            net(torch.ones(3, 2, 5, 11, 11))
        with pytest.raises(ValueError, match=r"this network has 3 time steps"):
            net.advance(torch.ones(4, 2, 2, 11, 11))
        with pytest.raises(ValueError, match=r"'fc1.norm' cannot take statistics over a single value"):
            net(spikes_of(3, 1, rng))
        before = net.blocks["fc1"].norm.running_mean.clone()
        assert torch.equal(before, torch.zeros_like(before))
