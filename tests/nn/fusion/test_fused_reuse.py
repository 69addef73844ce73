"""What a fused run may not depend on: shared buffers, steps computed again, the number of threads."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.nn import Readout, SpikingNetwork, evaluating
from tests.kernels import choose, needs_kernels
from tests.nn.networks import backward, close, small, spikes_of
from tests.rows import each_row

pytestmark = needs_kernels


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


@each_row("recompute", [1, 2, 4])
def test_steps_computed_again_give_the_same_and_update_the_statistics_once(recompute, rng):
    """To rounding: PyTorch's matrix products may round by their number of rows."""
    nets, x = [small(5) for _ in range(2)], spikes_of(5, 4, rng).to(torch.int8)
    for net, choice in zip(nets, ("never", recompute), strict=True):
        choose(net, backend="cpu", recompute=choice)
    assert close(*(backward(net, x) for net in nets), 1e-5)
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        assert close(p.grad, q.grad, 1e-5)
    for p, q in zip(*(net.buffers() for net in nets), strict=True):
        assert close(p, q, 1e-5)


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


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

    def test_two_networks_in_turn_and_evaluation_between(self, case):
        net, one, two, first, second = case
        other = copy.deepcopy(net)
        losses = net(one).square().sum(), other(two).square().sum()
        with torch.no_grad(), evaluating(net):
            net(two)
        assert self.equal(list(torch.autograd.grad(losses[0], list(net.parameters()))), first)
        assert self.equal(list(torch.autograd.grad(losses[1], list(other.parameters()))), second)

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


@pytest.mark.parametrize("recompute", ["never", 2])
def test_a_kept_graph_of_a_norm_that_looks_ahead(recompute, rng):
    """Whose currents are made again, while the graph still needs what they are made of: a flattened image too."""
    net = bntt.models.vgg6(num_steps=4, width=0.5, norm="tdbn")
    choose(net, recompute=recompute)
    x, parameters = torch.randint(-1, 2, (4, 3, 1, 28, 28), generator=rng).float(), list(net.parameters())
    loss = net(x).square().sum()
    found = [torch.autograd.grad(loss, parameters, retain_graph=keep) for keep in (True, True, False)]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*found, strict=True))
