"""The paths that users take: event-driven and dense, deterministic or not, through a classifier, modes that change."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import bntt
from bntt.engine.compute import Compute
from bntt.engine.kernels import BackendError
from bntt.nn import LIF, Call, PoissonEncoder, Readout, SpikingClassifier, SpikingNetwork
from bntt.nn.blocks import fold_time
from bntt.nn.fuse import plan_of
from bntt.nn.network import advance
from tests.grids import every_value, pairs
from tests.kernels import choose, needs_kernels
from tests.nn.networks import close
from tests.rows import each_row

pytestmark = needs_kernels


def classifier(backend: str, **options) -> SpikingClassifier:
    """64 channels and more: weight layers beyond the 1,024 pairs where the fixed rule goes event-driven."""
    net = bntt.models.vgg6(num_classes=4, image_size=12, num_steps=4, width=4.0, in_channels=2, **options)
    choose(net, backend=backend)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("gamma"):
                parameter.mul_(1.4)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.4, 0.5], std=[0.3, 0.2]), net)


def gradients(model: nn.Module, run) -> list[Tensor]:
    model.zero_grad()
    logits = run()
    logits.square().sum().backward()
    return [logits.detach(), *(p.grad for p in model.parameters())]


@pairs(deterministic=[True, False], events=["measured", "fixed", "never"], recompute=["never", 2])
def test_whole_networks_through_a_classifier(events, recompute, deterministic, rng):
    torch.use_deterministic_algorithms(deterministic)
    ours, theirs = classifier("cpu"), classifier("reference")
    choose(ours.network, events=events, recompute=recompute)
    images = torch.rand(3, 2, 12, 12, generator=rng)
    results = [gradients(model, lambda model=model: model(images, seed=3, draw=1)) for model in (ours, theirs)]
    results = [[*one, *model.buffers()] for one, model in zip(results, (ours, theirs), strict=True)]
    assert all(close(one, other, 1e-4) for one, other in zip(*results, strict=True))
    traces = [model.trace(images, seed=3, draw=2) for model in (ours, theirs)]
    assert all(torch.equal(traces[0].spikes[name], traces[1].spikes[name]) for name in traces[1].spikes)


@every_value(norm=["bntt", "bn", "tdbn", "tab"], recompute=["never", 2])
def test_statistics_that_move_between_forward_and_backward_change_no_gradient(norm, recompute):
    """As in consistency and adversarial training: forward in evaluation mode, a training step, then backward."""
    results = []
    for backend in ("auto", "reference"):
        torch_rng = torch.Generator().manual_seed(5)
        net = classifier(backend, norm=norm).network
        choose(net, recompute=recompute)
        x, z = (torch.randint(-1, 2, (4, 3, 2, 12, 12), generator=torch_rng).float() for _ in range(2))
        with torch.no_grad():
            net(z)
        net.eval()
        assert backend == "reference" or not net.plan(x.shape).reason
        logits = net(x)
        net.train()
        with torch.no_grad():
            net(3 * z)
        logits.square().sum().backward()
        results.append([logits.detach(), *(p.grad for p in net.parameters())])
    assert all(close(one, other, 1e-4) for one, other in zip(*results, strict=True))


@each_row("norm", ["bntt", "tdbn", "layer"])
def test_validation_is_fused_whatever_mode_the_network_is_in(norm, rng, monkeypatch):
    model = classifier("auto", norm=norm).train()
    plain = []
    monkeypatch.setattr(advance, "passed", lambda *args: plain.append(1))
    trace = model.trace(torch.rand(2, 2, 12, 12, generator=rng))
    assert trace.logits.shape == (4, 2, 4)
    assert not plain
    assert model.training
    assert model.network.training


def test_a_trace_that_cannot_run_as_asked_says_so(rng):
    model = classifier("cpu")
    model.network.blocks["conv2"].lif = type("Own", (LIF,), {})(0.9)
    images, steps = torch.rand(2, 2, 12, 12, generator=rng), [torch.zeros(1, 2, 2, 12, 12) for _ in range(4)]
    for call in (lambda: model.trace(images), lambda: model.network.trace(iter(steps))):
        with pytest.raises(BackendError, match=r"'conv2'.*Own"):
            call()


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # PyTorch's own
def test_forward_mode_differentiation_with_frozen_weights_has_a_tangent(rng):
    net = bntt.models.mlp(in_features=6, hidden=(20,), num_steps=4, num_classes=3).requires_grad_(False)
    x, direction = (torch.rand(4, 5, 6, generator=rng) for _ in range(2))
    backward_input = x.clone().requires_grad_()
    weights = torch.rand(5, 3, generator=rng)
    (grad,) = torch.autograd.grad((net(backward_input) * weights).sum(), backward_input)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(net(forward_ad.make_dual(x, direction))).tangent
    assert grad.abs().max() > 0
    assert torch.allclose((tangent * weights).sum(), (grad * direction).sum(), rtol=1e-4)


@pytest.mark.slow
def test_a_compiled_model_runs_as_it_is():
    """In a process of its own: the compiler looks into functions, and the shape checks around them confuse it."""
    code = (
        "import torch, bntt\n"
        "net = bntt.models.vgg6(num_steps=4, width=0.25, image_size=8)\n"
        "model = bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.3], std=[0.3]), net)\n"
        "images, found = torch.rand(3, 1, 8, 8), []\n"
        "for run in (torch.compile(model), model):\n"
        "    model.zero_grad(); logits = run(images, seed=0, draw=1); logits.square().sum().backward()\n"
        "    found.append([logits.detach(), *(p.grad.clone() for p in net.parameters())])\n"
        "assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found))\n"
        "compiled, x = torch.compile(net, backend='aot_eager'), torch.rand(4, 3, 1, 8, 8)\n"
        "assert torch.allclose(compiled(x), net(x), atol=1e-5) and net(x).abs().max() > 0\n"
        "print('alike')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "alike", done.stderr


def test_hooks_and_methods_of_an_encoder_are_asked(rng):
    images, ones = torch.rand(2, 2, 12, 12, generator=rng), torch.ones(4, 2, 2, 12, 12)
    model, seen = classifier("auto", threshold=0.2).eval(), []

    def hook(module, args, out):
        seen.append((out.shape[0], out.dtype))
        return torch.ones_like(out)

    plain = model(images)
    assert not torch.equal(plain, model.network(ones))
    handle = model.encoder.register_forward_hook(hook)
    assert torch.equal(model(images), model.network(ones))
    assert torch.allclose(model.trace(images).logits, model.network.trace(ones).logits, atol=1e-6)
    assert seen == [(4, torch.float32), (1, torch.float32), (4, torch.float32)]
    handle.remove()
    assert torch.equal(model(images), plain)
    model.encoder.forward = lambda x, **_: torch.ones(4, *x.shape)
    assert torch.equal(model(images), model.network(ones))


def test_a_readout_of_yours_is_asked_and_the_blocks_stay_fused(rng):
    class Last(Readout):
        def forward(self, spikes: Tensor, call: Call = Call(), voltage: Tensor | None = None) -> tuple[Tensor, None]:
            return fold_time(self.synapse, spikes), None

    net = classifier("cpu").network.eval()
    own = SpikingNetwork(dict(net.blocks), Last(net.readout.synapse), compute=Compute("cpu")).eval()
    x = torch.randint(-1, 2, (4, 3, 2, 12, 12), generator=rng).float()
    assert len(plan_of(dict(own.blocks.items()), x, own.compute).fused) == len(own.blocks)
    theirs = copy.deepcopy(own)
    choose(theirs, backend="reference")
    assert torch.allclose(own(x), theirs(x), atol=1e-6)
    assert not torch.allclose(own(x), net(x), atol=1e-3)
