"""Fused runs against the modules one by one: spikes, every gradient, statistics, and what must never go wrong."""

from __future__ import annotations

import contextlib
import copy
import itertools

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

import bntt
from bntt.engine import kernels
from bntt.engine import layer as engine_layer
from bntt.engine.compute import Compute
from bntt.engine.kernels import BackendError
from bntt.engine.workspace import WORKSPACE
from bntt.nn import BNTT, LIF, NoNorm, Readout, SharedBN, SpikingBlock, SpikingNetwork, evaluating
from bntt.nn.plan import plan_of
from tests.kernels import choose, needs_bf16, needs_kernels, variant

pytestmark = needs_kernels
_ = variant


def conv(*args, **kwargs) -> nn.Conv2d:
    return nn.utils.skip_init(nn.Conv2d, *args, **kwargs)


def linear(*args) -> nn.Linear:
    return nn.utils.skip_init(nn.Linear, *args, bias=False)


def small(steps: int = 5, norm=BNTT, **neuron) -> SpikingNetwork:
    """Two convolutions with poolings, odd sizes and channel counts, and a hidden layer."""
    torch_weights = torch.Generator().manual_seed(3)

    def block(synapse: nn.Module, channels: int, pool: nn.Module | None) -> SpikingBlock:
        return SpikingBlock(synapse, norm(channels, steps), LIF(**{"leak": 0.9, **neuron}), pool)

    pools = nn.AvgPool2d(2), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = SpikingNetwork(
        {
            "conv1": block(conv(2, 21, 3, padding=1, bias=False), 21, pools[0]),
            "conv2": block(conv(21, 40, 3, padding=1, bias=True), 40, None),
            "conv3": block(conv(40, 18, 3, stride=2, bias=False), 18, pools[1]),
            "fc1": block(linear(18, 33), 33, None),
        },
        Readout(linear(33, 4)),
    )
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith(("weight", "bias")):
                p.copy_(torch.randn(p.shape, generator=torch_weights) * 0.3)
            if name.endswith("gamma"):
                p.mul_(1.3)
    return net


def spikes_of(steps: int, batch: int, rng: torch.Generator, size: int = 11) -> Tensor:
    return torch.randint(-1, 2, (steps, batch, 2, size, size), generator=rng).float()


def pair(net: SpikingNetwork) -> tuple[SpikingNetwork, SpikingNetwork]:
    ours, theirs = net, copy.deepcopy(net)
    choose(ours, backend="cpu")
    choose(theirs, backend="reference")
    return ours, theirs


def close(a: Tensor | None, b: Tensor | None, tolerance: float = 5e-5) -> bool:
    assert a is not None and b is not None  # noqa: PT018
    return bool((a - b).abs().max() <= tolerance * b.abs().max() + 1e-7)


def backward(net: SpikingNetwork, x: Tensor) -> Tensor:
    logits = net(x)
    (logits * torch.arange(1.0, 5.0)).square().sum().backward()
    return logits


OPTIONS = [
    {"rule": rule, "reset": reset, "surrogate": surrogate}
    for rule, reset, surrogate in itertools.product(
        (bntt.nn.fire_after, bntt.nn.fire_before),
        (bntt.nn.soft_reset, bntt.nn.hard_reset),
        (bntt.nn.Triangle(), bntt.nn.ArcTan()),
    )
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_network_and_its_gradients(steps, batch, training, variant, rng):
    ours, theirs = pair(small(steps, norm=NoBatchOfOne if batch == 1 else BNTT))
    x = spikes_of(steps, batch, rng)
    with torch.no_grad():
        for net in (ours, theirs):  # running statistics worth evaluating with
            theirs_mode = net.compute.backend
            choose(net, backend="reference")
            net(x)
            choose(net, backend=theirs_mode)
            net.train(training)
    a, b = backward(ours, x.to(torch.int8)), backward(theirs, x)
    assert close(a, b)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name == "blocks.conv2.synapse.bias" and training:
            assert p.grad is not None
            assert p.grad.abs().max() == 0  # batch statistics take a constant away; the modules have rounding noise
            continue
        assert close(p.grad, q.grad), name
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


def NoBatchOfOne(channels: int, steps: int):
    """BNTT where a batch of one has many values, none in the fully connected layer."""
    return NoNorm() if channels == 33 else BNTT(channels, steps)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(getattr(v, "__name__", str(v)) for v in o.values()))
@pytest.mark.parametrize("norm", [BNTT, SharedBN])
def test_rules_resets_surrogates_and_norms(options, norm, rng):
    ours, theirs = pair(small(4, norm=norm, threshold=0.8, **options))
    x = spikes_of(4, 3, rng)
    assert close(backward(ours, x), backward(theirs, x))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name != "blocks.conv2.synapse.bias":
            assert close(p.grad, q.grad), name


@pytest.mark.parametrize("name", ["bntt", "bntt-scaled", "bn", "none", "tdbn", "tebn", "tab", "bn-pooled"])
def test_every_norm_in_evaluation(name, rng):
    build = bntt.nn.NORMS[name]
    ours, theirs = pair(small(4, norm=lambda channels, steps: build(channels, steps, 1.0)))
    x = spikes_of(4, 6, rng)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(torch.randn(p.shape, generator=rng) * 0.05)
    theirs.load_state_dict(ours.state_dict())
    theirs(x)
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    assert close(backward(ours, x), backward(theirs, x))
    for (label, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert close(p.grad, q.grad), label


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_at_a_float_input(training, rng):
    ours, theirs = pair(small(4))
    ours.train(training), theirs.train(training)
    x = torch.randn(4, 3, 2, 11, 11, generator=rng)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for net, one in zip((ours, theirs), inputs, strict=True):
        backward(net, one)
    assert close(inputs[0].grad, inputs[1].grad)
    direct = torch.rand(3, 2, 11, 11, generator=rng, requires_grad=True)
    grads = [
        torch.autograd.grad(net(direct.expand(4, -1, -1, -1, -1)).square().sum(), direct)[0] for net in (ours, theirs)
    ]
    assert close(*grads)


def test_layer_by_layer_at_25_steps_teacher_forced(rng):
    """Each layer of a VGG9 gets the reference's own input spikes and gradient. Ties are counted and must be few; where
    there is none, no gradient is further from float64 than twice what the reference itself is in float32."""
    steps, batch = 25, 2
    net = bntt.models.vgg9(num_classes=10, num_steps=steps, width=0.5)
    for block in net.blocks.values():
        block.norm.gamma.data.mul_(1.2)
    x = torch.randint(-1, 2, (steps, batch, 3, 32, 32), generator=rng).float()
    neurons = mismatches = compared = 0
    for name, block in net.blocks.items():
        narrow, wide = copy.deepcopy(block), copy.deepcopy(block).double()
        inputs = [x.to(dtype, copy=True).requires_grad_() for dtype in (torch.float32, torch.float32, torch.float64)]
        alone = SpikingNetwork({name: block}, Readout(nn.Flatten()), compute=Compute("cpu"))
        seen: list[Tensor] = []
        alone.readout.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        alone(inputs[0])
        outputs = [seen[0], narrow(inputs[1]), wide(inputs[2])]
        gradient = torch.randn(outputs[0].shape, generator=rng) * 0.1
        for output in outputs:
            output.backward(gradient.to(output.dtype))
        neurons += gradient.numel()
        wrong = int((outputs[0] != outputs[1]).sum())
        mismatches += wrong
        if wrong == 0 and torch.equal(outputs[1].double(), outputs[2]):
            for ours, theirs, exact in (
                (inputs[0].grad, inputs[1].grad, inputs[2].grad),
                *(
                    (p.grad, q.grad, r.grad)
                    for p, q, r in zip(*(b.parameters() for b in (block, narrow, wide)), strict=True)
                ),
            ):
                own = (theirs - exact).norm()
                assert (ours - exact).norm() <= 2.5 * own + 2e-6 * exact.norm(), name
                compared += 1
        x = outputs[1].detach()
    assert mismatches <= max(4, 1e-6 * neurons)
    assert compared >= 12
    assert neurons > 1_000_000


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_on_any_number_of_threads(threads, rng):
    """Up to the readout, whose small matrix products are PyTorch's own and promise nothing."""
    x = torch.randint(-1, 2, (5, 7, 2, 12, 12), generator=rng).to(torch.int8)
    gradient, found = torch.randn(7, 90, generator=rng), []
    for count in (1, threads):
        torch.set_num_threads(count)
        net = bntt.models.vgg6(num_classes=10, in_channels=2, image_size=12, num_steps=5, width=0.7)
        hidden = SpikingNetwork(dict(net.blocks), Readout(nn.Identity()), compute=Compute("cpu"))
        mean = hidden(x)
        mean.backward(gradient)
        found.append([mean.detach(), *(p.grad for p in hidden.parameters()), *hidden.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_784_steps_of_a_fully_connected_network(rng):
    net = bntt.models.mlp(hidden=(20, 12), num_steps=784)
    ours, theirs = pair(net)
    x = torch.rand(784, 3, 1, generator=rng)
    first = [copy.deepcopy(n.blocks["fc1"]) for n in (ours, theirs)]
    nets = [
        SpikingNetwork(
            {"fc1": b},
            Readout(bntt.models.mlp(hidden=(20,), num_classes=2, num_steps=1).readout.synapse),
            compute=Compute(k),
        )
        for b, k in zip(first, ("cpu", "reference"), strict=True)
    ]
    nets[1].readout.load_state_dict(nets[0].readout.state_dict())
    for n in nets:
        n(x).square().sum().backward()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert close(p.grad, q.grad, 2e-4)
    assert torch.isfinite(ours(x)).all()


@pytest.mark.parametrize("recompute", [1, 2, 4])
def test_steps_computed_again_give_the_same_and_update_the_statistics_once(recompute, rng):
    nets, x = [small(5) for _ in range(2)], spikes_of(5, 4, rng).to(torch.int8)
    for net, choice in zip(nets, ("never", recompute), strict=True):
        choose(net, backend="cpu", recompute=choice)
    assert torch.equal(*(backward(net, x) for net in nets))
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        assert close(p.grad, q.grad, 1e-5)
    for p, q in zip(*(net.buffers() for net in nets), strict=True):
        assert torch.equal(p, q)


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


def test_a_precision_without_kernels_is_refused(rng):
    """Nothing switches in silence: plain PyTorch has the precision of its weights."""
    net = small(3)
    choose(net, precision="bf16-grad")
    net.blocks["conv2"].lif = LIF(0.9, learn_leak=True)
    with pytest.raises(BackendError, match=r"'conv2' cannot run in precision 'bf16-grad', which only the kernels have"):
        net(spikes_of(3, 4, rng))


def test_a_choice_is_a_choice_and_must_be_here(monkeypatch):
    net = small(3)
    with pytest.raises((TypeError, TypeCheckError), match="'cpu'"):
        net.compute = "cpu"
    monkeypatch.setattr(kernels, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match=r"precision 'bf16' cannot be had here"):
        choose(net, precision="bf16")


class TestReuse:
    """Buffers are shared by everything in the process: the answer must be right all the same, or an error."""

    @pytest.fixture(params=["never", 2], ids=["kept", "computed again"])
    def case(self, request, rng) -> tuple[SpikingNetwork, Tensor, Tensor, list[Tensor], list[Tensor]]:
        net = small(3)
        choose(net, backend="cpu", recompute=request.param)
        one, two = spikes_of(3, 4, rng), spikes_of(3, 4, rng)
        return net, one, two, self.grads(net, one), self.grads(net, two)

    @staticmethod
    def grads(net: SpikingNetwork, x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(net(x).square().sum(), list(net.parameters())))

    @staticmethod
    def equal(a: list[Tensor], b: list[Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    def test_two_forwards_before_one_backward(self, case):
        net, one, two, first, second = case
        losses = [net(x).square().sum() for x in (one, two)]
        for loss, expected in zip(reversed(losses), (second, first), strict=True):
            assert self.equal(list(torch.autograd.grad(loss, list(net.parameters()))), expected)

    def test_retain_graph_and_a_third_time_without(self, case):
        net, one, two, first, _ = case
        loss = net(one).square().sum()
        parameters = list(net.parameters())
        for keep in (True, True, False):
            assert self.equal(list(torch.autograd.grad(loss, parameters, retain_graph=keep)), first)
            self.grads(net, two)
        with pytest.raises(RuntimeError, match=r"second time|after they have already been freed"):
            torch.autograd.grad(loss, parameters)

    def test_an_exception_between(self, case, monkeypatch):
        net, one, two, first, _ = case
        loss = net(one).square().sum()
        real = engine_layer.scan
        calls = []

        def failing(*args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        monkeypatch.setattr(engine_layer, "scan", failing)
        with pytest.raises(KeyboardInterrupt):
            net(two)
        monkeypatch.setattr(engine_layer, "scan", real)
        assert self.equal(self.grads(net, one), first)
        assert self.equal(list(torch.autograd.grad(loss, list(net.parameters()))), first)

    def test_an_interrupted_backward_pass_leaves_no_half_made_steps(self, case, monkeypatch):
        """A kept graph is right afterwards; one that was not kept says that it is gone."""
        net, one, _, first, _ = case
        parameters, real = list(net.parameters()), (engine_layer.scan, engine_layer.scan_reverse)
        for which, name in enumerate(("scan", "scan_reverse")):
            for stop in (1, 3):
                for keep in (True, False):
                    loss, calls = net(one).square().sum(), []

                    def failing(*args, real=real[which], calls=calls, stop=stop, **kwargs):
                        calls.append(1)
                        if len(calls) == stop:
                            raise KeyboardInterrupt
                        return real(*args, **kwargs)

                    with monkeypatch.context() as patch:
                        patch.setattr(engine_layer, name, failing)
                        with contextlib.suppress(KeyboardInterrupt):
                            torch.autograd.grad(loss, parameters, retain_graph=keep)
                    if keep:
                        assert self.equal(list(torch.autograd.grad(loss, parameters)), first)
                        continue
                    with pytest.raises(RuntimeError, match=r"second time|already been freed"):
                        torch.autograd.grad(loss, parameters)

    def test_two_networks_in_turn_and_evaluation_between(self, case):
        net, one, two, first, second = case
        other = copy.deepcopy(net)
        losses = net(one).square().sum(), other(two).square().sum()
        with torch.no_grad(), evaluating(net):
            net(two)
        assert self.equal(list(torch.autograd.grad(losses[0], list(net.parameters()))), first)
        assert self.equal(list(torch.autograd.grad(losses[1], list(other.parameters()))), second)

    def test_a_weight_changed_since_the_forward_pass_is_refused(self, case):
        net, one, *_ = case
        loss = net(one).square().sum()
        with torch.no_grad():
            net.blocks["conv2"].synapse.weight.add_(1)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation"):
            loss.backward()

    def test_an_input_changed_since_the_forward_pass_is_refused(self, case):
        net, one, *_ = case
        loss = net(one).square().sum()
        one.add_(1)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation"):
            loss.backward()

    def test_differentiating_twice_raises(self, case):
        net, one, *_ = case
        x = one.clone().requires_grad_()
        (grad,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match=r"once_differentiable|twice"):
            grad.sum().backward()

    def test_buffers_full_of_nan_change_nothing(self, case):
        net, one, _, first, _ = case
        for held in WORKSPACE._free:
            usable = held.numel() // 4 * 4
            held[:usable].view(torch.float32).fill_(float("nan"))
        assert self.equal(self.grads(net, one), first)

    def test_an_input_gradient_is_nobody_elses_memory(self, case):
        net, one, two, *_ = case
        x = one.clone().requires_grad_()
        (grad,) = torch.autograd.grad(net(x).square().sum(), x)
        before = grad.clone()
        self.grads(net, two)
        assert torch.equal(grad, before)


class TestWhatIsNotFused:
    def test_a_hook_sees_real_floats(self, rng):
        net = small(3)
        x = spikes_of(3, 4, rng)
        plain = net(x)
        seen: list[Tensor] = []
        net.blocks["conv2"].lif.register_forward_hook(lambda module, args, out: seen.append(out))
        hooked = net(x.to(torch.int8))
        assert seen[0].shape == (3, 4, 40, 5, 5)
        assert seen[0].is_floating_point()
        assert close(hooked, plain)

    def test_a_module_of_yours_in_the_middle(self, rng):
        class Mine(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x

            def step(self, x: Tensor, t: int, state=None):
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
            (lambda net: setattr(net.blocks["conv2"], "lif", LIF(0.9, learn_leak=True)), "leak is learned"),
            (lambda net: setattr(net.blocks["conv2"].lif, "surrogate", lambda v: v), "surrogate is one of yours"),
            (lambda net: setattr(net.blocks["conv2"].lif, "reset", lambda u, o, t: u), "reset is one of yours"),
            (
                lambda net: setattr(net.blocks["conv2"], "norm", bntt.nn.TDBN(40, 3)),
                "tdBN pools its training statistics",
            ),
            (lambda net: setattr(net.blocks["conv2"], "norm", bntt.nn.LayerNorm(40)), "norm is LayerNorm"),
            (lambda net: setattr(net.blocks["conv2"], "pool", nn.MaxPool2d(2)), "pool is MaxPool2d"),
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
        with pytest.raises(ValueError, match=r"'conv1.norm' has 3 time steps"):
            net(torch.ones(4, 2, 2, 11, 11))
        with pytest.raises(ValueError, match=r"'fc1.norm' cannot take statistics over a single value"):
            net(spikes_of(3, 1, rng))
        before = net.blocks["fc1"].norm.running_mean.clone()
        assert torch.equal(before, torch.zeros_like(before))


def test_a_frozen_norm_keeps_its_statistics(rng):
    ours, theirs = pair(small(3))
    for net in (ours, theirs):
        net.blocks["conv2"].norm.eval()
    x = spikes_of(3, 4, rng)
    assert close(backward(ours, x), backward(theirs, x))
    assert torch.equal(ours.blocks["conv2"].norm.running_var, torch.ones(3, 40))
    assert close(ours.blocks["conv2"].synapse.bias.grad, theirs.blocks["conv2"].synapse.bias.grad)


def test_no_grad_in_training_mode_moves_the_running_statistics_alike(rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 1)  # a step at a time
    ours, theirs = pair(small(5))
    x = spikes_of(5, 4, rng)
    with torch.no_grad():
        assert close(ours(x), theirs(x))
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("deterministic", [True, False])
def test_signed_bytes_are_signed_floats(deterministic, rng):
    """As events of two signs, and as they are: logits and the first layer's gradients."""
    torch.use_deterministic_algorithms(deterministic)
    net = small(4)
    choose(net, backend="cpu")
    x = spikes_of(4, 3, rng)
    results = []
    for given in (x, x.to(torch.int8)):
        net.zero_grad()
        results.append((backward(net, given), net.blocks["conv1"].synapse.weight.grad.clone()))
    assert all(close(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("chunk", [1, 40_000, 1 << 24])
def test_the_trace_is_the_stepwise_one_whatever_the_chunks(chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    ours, theirs = pair(small(5))
    x = spikes_of(5, 4, rng)
    ours(x), theirs(x)
    a, b = ours.trace(x.to(torch.int8)), theirs.trace(x)
    assert close(a.logits, b.logits)
    assert a.neurons == b.neurons
    for name in b.spikes:
        assert torch.equal(a.spikes[name], b.spikes[name]), name
    assert ours.training
