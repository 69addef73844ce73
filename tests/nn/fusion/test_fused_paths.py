"""The paths that users take through fused runs, and what these may not depend on: buffers, threads, defaults."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.engine.kernels import BackendError, has_bf16
from bntt.nn import LIF, PoissonEncoder, Readout, SpikingClassifier, SpikingNetwork
from bntt.nn.network import advance
from tests.grids import every_value, pairs
from tests.kernels import choose, needs_bf16, needs_kernels
from tests.nn.networks import backward, close, loss_of, pair, same_everywhere, small, spikes_of
from tests.rows import each_row


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


@needs_kernels
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


@needs_kernels
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


@needs_kernels
def test_what_cannot_run_as_asked_says_so(rng):
    model = classifier("cpu")
    model.network.blocks["conv2"].lif = type("Own", (LIF,), {})(0.9)
    images, steps = torch.rand(2, 2, 12, 12, generator=rng), [torch.zeros(1, 2, 2, 12, 12) for _ in range(4)]
    for call in (lambda: model.trace(images), lambda: model.network.trace(iter(steps))):
        with pytest.raises(BackendError, match=r"'conv2'.*Own"):
            call()
    if has_bf16():  # plain PyTorch has the precision of its weights
        choose(model.network, backend="auto", precision="bf16-grad")
        with pytest.raises(BackendError, match=r"'conv2'.*bf16-grad"):
            model(images)


@needs_kernels
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


@needs_kernels
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


@needs_kernels
@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_on_any_number_of_threads(threads, rng):
    """Up to the matrix products of fc1 and the readout, which are PyTorch's own and promise nothing."""
    x = torch.randint(-1, 2, (5, 7, 2, 12, 12), generator=rng).to(torch.int8)
    found = list[list[Tensor]]()
    for count in (1, threads):
        torch.set_num_threads(count)
        net = bntt.models.vgg6(num_classes=10, in_channels=2, image_size=12, num_steps=5, width=0.7)
        blocks = {name: block for name, block in net.blocks.items() if name != "fc1"}
        hidden = SpikingNetwork(blocks, Readout(nn.Identity()), compute=Compute("cpu"))
        mean = hidden(x)
        mean.backward(torch.randn(mean.shape, generator=torch.Generator().manual_seed(2)))
        found.append([mean.detach(), *(p.grad for p in hidden.parameters()), *hidden.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@needs_kernels
class TestReuse:
    """Buffers are shared by everything in the process: the answer must be right all the same, or an error."""

    @pytest.fixture(params=["never", 2], ids=["kept", "computed again"])
    def case(self, request, rng) -> tuple[SpikingNetwork, Tensor, Tensor, list[Tensor], list[Tensor]]:
        net = small(3)
        choose(net, backend="cpu", recompute=request.param)
        one, two = spikes_of(3, 4, rng), spikes_of(3, 4, rng)
        first, second = self.grads(net, one), self.grads(net, two)
        assert all(grads[0].any() for grads in (first, second))
        assert not self.equal(first, second)
        return net, one, two, first, second

    @staticmethod
    def grads(net: SpikingNetwork, x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(net(x).square().sum(), list(net.parameters())))

    @staticmethod
    def equal(a: list[Tensor], b: list[Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    def test_retain_graph_and_a_third_time_without(self, case):
        net, one, two, first, _ = case
        loss = net(one).square().sum()
        parameters = list(net.parameters())
        for keep in (True, True, False):
            assert self.equal(list(torch.autograd.grad(loss, parameters, retain_graph=keep)), first)
            self.grads(net, two)
        with pytest.raises(RuntimeError, match=r"second time|after they have already been freed"):
            torch.autograd.grad(loss, parameters)

    def test_an_interrupted_backward_pass_leaves_no_half_made_steps(self, case, monkeypatch):
        """A kept graph is right afterwards; one that was not kept says that it is gone. A forward pass likewise."""
        net, one, two, first, _ = case
        kept = net(one).square().sum()
        with monkeypatch.context() as patch:
            patch.setattr(launch, "scan", interrupted)
            with pytest.raises(KeyboardInterrupt):
                net(two)
        assert self.equal(list(torch.autograd.grad(kept, list(net.parameters()))), first)
        parameters, places = list(net.parameters()), ((launch, "scan"), (launch, "scan_reverse"))
        for module, name in places:
            usual = getattr(module, name)
            for stop in (1, 3):
                for keep in (True, False):
                    loss, calls = net(one).square().sum(), []

                    def failing(*args, real=usual, calls=calls, stop=stop, **kwargs):
                        calls.append(1)
                        if len(calls) == stop:
                            raise KeyboardInterrupt
                        return real(*args, **kwargs)

                    with monkeypatch.context() as patch:
                        patch.setattr(module, name, failing)
                        with contextlib.suppress(KeyboardInterrupt):
                            torch.autograd.grad(loss, parameters, retain_graph=keep)
                    quiet = name == "scan" and net.compute.recompute == "never"
                    assert len(calls) == (0 if quiet else stop)
                    if keep:
                        assert self.equal(list(torch.autograd.grad(loss, parameters)), first)
                        continue
                    with pytest.raises(RuntimeError, match=r"second time|already been freed"):
                        torch.autograd.grad(loss, parameters)

    @pytest.mark.parametrize("what", ["weight", "input"])
    def test_what_changed_since_the_forward_pass_is_refused(self, what, case):
        net, one, *_ = case
        loss = net(one).square().sum()
        with torch.no_grad():
            (one if what == "input" else net.blocks["conv2"].synapse.weight).add_(1)
        with pytest.raises(RuntimeError, match="inplace"):
            loss.backward()

    def test_differentiating_twice_raises(self, case):
        net, one, *_ = case
        x = one.clone().requires_grad_()
        (grad,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        for ask in (
            grad.sum().backward,
            lambda: torch.autograd.grad(grad.sum() + net(x).sum(), list(net.parameters())),
        ):
            with pytest.raises(RuntimeError, match="twice"):
                ask()

    def test_an_input_gradient_is_nobody_elses_memory(self, case):
        net, one, two, *_ = case
        x = one.clone().requires_grad_()
        (grad,) = torch.autograd.grad(net(x).square().sum(), x)
        before = grad.clone()
        self.grads(net, two)
        assert torch.equal(grad, before)


@needs_kernels
@needs_bf16
class TestLowPrecision:
    def test_bf16_grad_fires_as_fp32_does_and_its_gradients_are_near(self, rng):
        nets, x = [small(4) for _ in range(2)], spikes_of(4, 6, rng).to(torch.int8)
        choose(nets[1], precision="bf16-grad")
        assert torch.equal(*(backward(net, x) for net in nets))
        for (name, p), q in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
            if not name.endswith("bias"):
                off = float((p.grad - q.grad).norm() / p.grad.norm())
                assert off < 2e-2, name
                assert off > 0 or "conv" not in name, name

    def test_bf16_flips_few_spikes(self, rng):
        nets, x = [small(4) for _ in range(2)], spikes_of(4, 20, rng).to(torch.int8)
        for net in nets:
            net(x)
        nets[1].load_state_dict(nets[0].state_dict())
        choose(nets[1], precision="bf16")
        fp32, bf16 = (net.trace(x) for net in nets)
        for name, limit in (("conv1", 0.02), ("conv2", 0.06), ("conv3", 0.12), ("fc1", 0.2)):  # flips add up in depth
            assert float((fp32.spikes[name] - bf16.spikes[name]).abs().sum() / fp32.spikes[name].sum()) < limit
        assert not torch.equal(fp32.logits, bf16.logits)
        backward(nets[1], x)
        assert all(torch.isfinite(p.grad).all() for p in nets[1].parameters())


DEFAULTS = {
    **{dtype: (torch.set_default_dtype, dtype, torch.float32) for dtype in (torch.float64, torch.bfloat16)},
    "meta": (torch.set_default_device, "meta", None),
}


@needs_kernels
@every_value(default=DEFAULTS, norm=[bntt.BNTT, bntt.TAB, bntt.TDBN])
def test_what_new_tensors_are_by_default_changes_nothing(default, norm, rng):
    ours, theirs = pair(small(5, norm=norm))
    x, (set_default, value, before) = spikes_of(5, 3, rng), DEFAULTS[default]
    want = theirs(x)
    loss_of(want).backward()
    set_default(value)
    try:
        got = ours(x)
        got.backward(2 * want.detach() * torch.arange(1.0, 5.0, dtype=torch.float32, device="cpu").square())
        assert not ours.plan(x.shape).reason
        logits, _ = ours.eval().advance(x[:2])
    finally:
        set_default(before)
    assert got.dtype == torch.float32
    assert close(got, want)
    same_everywhere(ours, theirs)
    assert close(logits, theirs.eval().advance(x[:2])[0])
