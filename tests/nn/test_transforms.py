"""Networks and norms in evaluation under ``torch.func``: the numbers of ordinary autograd, one call after another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vjp, vmap

import bntt
from bntt.nn import NORMS, DirectEncoder, PoissonEncoder, SpikingClassifier, expected, hard_reset
from bntt.nn.fuse import plan_of
from bntt.ops.lif import FireRule, Reset, fire_after, fire_before, soft_reset
from bntt.ops.norm import Moments, add_up
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle, fire
from tests.grids import every_value, pairs
from tests.kernels import needs_kernels
from tests.rows import each_row

pytestmark = pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # PyTorch's own
T, B, F, K = 4, 3, 5, 3


def network(norm: str = "bntt", rule: FireRule = fire_after, reset: Reset = soft_reset) -> bntt.SpikingNetwork:
    """In float64, with statistics that are not where they start and a leak for each channel that learns."""
    net = bntt.models.mlp(in_features=F, hidden=(6, 6), num_classes=K, num_steps=T, norm=norm, learn_leak="channel")
    for block in net.blocks.values():
        block.lif.neuron = bntt.nn.Neuron(rule=rule, reset=reset)
    numbers = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.copy_(tensor + torch.rand(tensor.shape, generator=numbers) * 0.7)
    return net.double().eval()


def drawn(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64) * 1.5


def rows(net: bntt.SpikingNetwork, x: Tensor) -> Tensor:
    """The Jacobian of the logits, ``[B, K, *x.shape]``, one backward pass for each of them."""
    x = x.clone().requires_grad_()
    logits = net(x)
    found = [torch.autograd.grad(one, x, retain_graph=True)[0] for one in logits.flatten()]
    return torch.stack(found).reshape(*logits.shape, *x.shape)


@every_value(norm=NORMS, rule=[fire_after, fire_before], reset=[soft_reset, hard_reset, hard_reset, soft_reset])
def test_every_transform_of_a_network_is_what_autograd_finds(norm, rule, reset, rng):
    net, x, along, towards = network(norm, rule, reset), drawn(rng, T, B, F), drawn(rng, T, B, F), drawn(rng, B, K)
    jacobian = rows(net, x)
    assert jacobian.abs().max() > 0
    back = (towards[..., None, None, None] * jacobian).sum((0, 1))
    assert torch.allclose(grad(lambda x: (net(x) * towards).sum())(x), back, atol=1e-12)
    logits, pull = vjp(net, x)
    assert torch.equal(logits, net(x).detach())
    assert torch.allclose(pull(towards)[0], back, atol=1e-12)
    assert torch.allclose(jvp(net, (x,), (along,))[1], (jacobian * along).sum((2, 3, 4)), atol=1e-12)
    assert torch.allclose(jacrev(net)(x), jacobian, atol=1e-12)
    assert torch.allclose(jacfwd(net)(x), jacobian, atol=1e-12)
    one_by_one = vmap(lambda x: net(x.unsqueeze(1)).squeeze(0), in_dims=1)(x)
    assert torch.allclose(one_by_one, logits, atol=1e-12)


class Advancing(torch.nn.Module):
    """A network whose steps are taken in two calls, or in one, of one sample."""

    def __init__(self, net: bntt.SpikingNetwork, form: str) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)
        if self.form == "forward":
            return self.net(x)
        first, state = self.net.advance(x[:2])
        return torch.cat([first, self.net.advance(x[2:], state)[0]])


@pairs(backend=["auto", "reference"], form=["forward", "advance"])
def test_gradients_of_every_sample_alone(form, backend, rng):
    """Per-sample gradients of every parameter, against a loop; float32, which the kernels would take."""
    net, x = Advancing(network().float(), form), drawn(rng, T, B, F).float()
    net.net.compute = bntt.Compute(backend)
    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    of_one = grad(lambda weights, x: functional_call(net, weights, (x,)).square().sum())
    found = vmap(of_one, in_dims=(None, 1))(weights, x)
    for sample in range(B):
        net.zero_grad()
        net(x[:, sample]).square().sum().backward()
        for name, weight in net.named_parameters():
            assert torch.allclose(found[name][sample], weight.grad, rtol=1e-4, atol=1e-6), name
    assert all(rows.abs().max() > 0 for rows in found.values())


@pytest.mark.parametrize("folded", [False, True])
def test_folded_networks_and_their_neurons_constants(folded, rng):
    """Tables are tensors, which vmap may hold many of."""
    net = network("bntt")
    for block in net.blocks.values():
        block.lif = bntt.nn.LIF(0.8)
    net = bntt.nn.fold(net) if folded else net
    x = drawn(rng, T, B, F)
    found = rows(net, x)
    assert torch.allclose(jacrev(net)(x), found, atol=1e-12)
    assert torch.allclose(jacfwd(net)(x), found, atol=1e-12)
    buffers = {name: torch.stack([b, b]) for name, b in net.named_buffers()}
    many = vmap(grad(lambda b, x: functional_call(net, b, (x,)).sum(), argnums=1), in_dims=(0, None))(buffers, x)
    assert torch.allclose(many, found.sum((0, 1)).expand_as(many), atol=1e-12)


@each_row("surrogate", [Triangle(), FastSigmoid(), ArcTan()])
def test_firing_under_transforms(surrogate):
    u = torch.linspace(-1, 3, 41, dtype=torch.float64)
    threshold = torch.linspace(0.5, 2, 41, dtype=torch.float64)
    slope = surrogate(u / threshold - 1)
    assert torch.equal(vmap(lambda u, t: fire(u, t, surrogate))(u, threshold), fire(u, threshold, surrogate))
    assert torch.equal(vmap(grad(lambda u, t: fire(u, t, surrogate)))(u, threshold), slope)
    assert torch.equal(jvp(lambda u: fire(u, threshold, surrogate), (u,), (torch.ones_like(u),))[1], slope)
    assert torch.equal(jacfwd(lambda u: fire(u, threshold, surrogate))(u), torch.diag(slope))


@each_row("second", [grad, jacfwd, jacrev])
@each_row("first", [grad, jacfwd, jacrev])
@each_row("what", ["spikes", "pixels"])
def test_a_second_derivative_raises(what, first, second):
    """A surrogate is a derivative, not a function that has one: a Hessian without its part would be wrong."""
    encoder, x = PoissonEncoder(T, gradient=expected), torch.full((1, 1, 1, 2), 0.7)
    of = {"spikes": lambda x: (x * fire(x)).sum(), "pixels": lambda x: encoder.spikes(x).square().sum()}[what]
    with pytest.raises(RuntimeError, match="differentiate twice"):
        second(lambda x: first(of)(x).sum())(x)


@pytest.mark.parametrize("encoder", [PoissonEncoder(T, gradient=expected), DirectEncoder(T)])
def test_a_classifier_and_its_images(encoder, rng):
    model = SpikingClassifier(encoder, network("bntt").float()).eval()
    images = torch.rand(B, 1, 1, F, generator=rng)
    asking = images.clone().requires_grad_()
    logits = model(asking)
    (found,) = torch.autograd.grad(logits.square().sum(), asking)
    assert found.abs().max() > 0
    assert torch.allclose(grad(lambda x: model(x).square().sum())(images), found, atol=1e-6)
    tangent = jvp(model, (images,), (torch.ones_like(images),))[1]
    assert torch.allclose((2 * logits * tangent).sum(), found.sum(), rtol=1e-4)
    index = torch.arange(B)
    each = vmap(grad(lambda x, i: model(x[None], index=i[None]).square().sum()))(images, index)
    assert torch.allclose(each, found, atol=1e-6)


def test_moments_of_a_batch_in_parts(rng):
    mean, var = torch.rand(2, 3, generator=rng), torch.rand(2, 3, generator=rng)

    def whole(mean: Tensor, var: Tensor) -> Tensor:
        found = add_up(Moments(mean, var, (4, 4)), lambda sums: 2 * sums)
        return (found.mean * found.var).sum()

    inputs = [tensor.clone().requires_grad_() for tensor in (mean, var)]
    expected_grads = torch.autograd.grad(whole(*inputs), inputs)
    found = grad(whole, argnums=(0, 1))(mean, var)
    assert all(torch.allclose(a, b) for a, b in zip(found, expected_grads, strict=True))
    tangent = jvp(whole, (mean, var), (torch.ones_like(mean), torch.ones_like(var)))[1]
    assert torch.allclose(tangent, sum(one.sum() for one in expected_grads))


def test_values_that_can_be_looked_at_are_looked_at(rng):
    net, x = network(), drawn(rng, T, B, F)
    x[1, 2, 0] = torch.nan
    for transform in (grad(lambda x: net(x).sum()), lambda x: jvp(net, (x,), (x,))):
        with pytest.raises(ValueError, match="t=1 in sample 2"):
            transform(x)


@needs_kernels
def test_the_plan_says_that_a_transform_is_on(rng):
    net, seen = network().float(), []
    blocks = dict(net.blocks.items())
    assert plan_of(blocks, drawn(rng, T, B, F).float(), net.compute).reason == ""
    vmap(lambda x: seen.append(plan_of(blocks, x.unsqueeze(1), net.compute)) or x, in_dims=1)(torch.zeros(T, B, F))
    assert "transform" in seen[0].reason
    assert not seen[0].fused
