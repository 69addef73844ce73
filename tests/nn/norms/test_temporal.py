"""TemporalNorm's behaviour: promise N1, modes, limits and messages."""

import pytest
import torch
from torch import nn

from bntt.nn import BNTT, TAB, TDBN, Call, LayerNorm, NoNorm
from tests.rows import each_row


@each_row("space", [(), (4, 5)])
@each_row("training", [True, False])
@each_row("dtype, momentum", [(torch.float64, 0.1), (torch.float64, 0.7), (torch.float32, 0.1)])
def test_bntt_is_t_batch_norms_without_beta(space, training, dtype, momentum, rng):
    """In float32 γ's gradient is a sum of a hundred products of size one: it has ten times their rounding."""
    steps, batch, channels = 6, 5, 3
    kind = nn.BatchNorm2d if space else nn.BatchNorm1d
    norms = nn.ModuleList(kind(channels, eps=1e-4, momentum=momentum) for _ in range(steps))
    norm = BNTT(channels, num_steps=steps, momentum=momentum)
    with torch.no_grad():
        norm.gamma.copy_(torch.randn(steps, channels, generator=rng))
        norm.running_mean.copy_(torch.randn(steps, channels, generator=rng))
        for t, bn in enumerate(norms):
            bn.bias = None
            bn.weight.copy_(norm.gamma[t])
            bn.running_mean.copy_(norm.running_mean[t])
    norm.to(dtype).train(training), norms.to(dtype).train(training)
    x = (torch.randn(steps, batch, channels, *space, generator=rng) * 2 + 0.5).to(dtype)
    upstream = torch.randn(x.shape, generator=rng).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = norm(ours)[0], torch.stack([bn(theirs[t]) for t, bn in enumerate(norms)])
    y.backward(upstream), expected.backward(upstream)
    atol = 1e-12 if dtype == torch.float64 else 1e-6
    assert torch.allclose(y, expected, atol=atol, rtol=0)
    assert torch.allclose(ours.grad, theirs.grad, atol=atol, rtol=0)
    assert torch.allclose(norm.gamma.grad, torch.stack([bn.weight.grad for bn in norms]), atol=10 * atol, rtol=0)
    assert torch.allclose(norm.running_mean, torch.stack([bn.running_mean for bn in norms]), atol=atol, rtol=0)
    assert torch.allclose(norm.running_var, torch.stack([bn.running_var for bn in norms]), atol=atol, rtol=0)


def test_a_refused_batch_leaves_the_statistics_alone_and_evaluation_takes_it():
    norm, ahead = BNTT(3, num_steps=5), TDBN(3, num_steps=5).eval()
    with pytest.raises(ValueError, match="t=0"):
        norm(torch.ones(5, 1, 3))
    assert torch.equal(norm.running_mean, torch.zeros(5, 3))
    assert norm.eval()(torch.ones(5, 1, 3))[0].shape == (5, 1, 3)
    assert ahead(torch.ones(2, 2, 3), Call(0, whole=False))[0].shape == (2, 2, 3)


def test_a_negative_gamma_is_legal(rng):
    norm = BNTT(3, num_steps=4)
    nn.init.constant_(norm.gamma, -1.0)
    x = torch.randn(4, 8, 3, generator=rng)
    assert torch.equal(norm(x)[0], -BNTT(3, num_steps=4)(x)[0])


def test_a_constant_channel_stays_finite():
    norm = BNTT(2, num_steps=3)
    x = torch.zeros(3, 4, 2, requires_grad=True)
    norm(x)[0].sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(norm.gamma.grad).all()


@each_row("dtype", [torch.bfloat16, torch.float16])
@each_row("build", [BNTT, TAB, TDBN])
def test_half_precision_is_normalised_in_float32(dtype, build, rng):
    """70,000 values a channel: more than half precision can count."""
    x = torch.randn(2, 70_000, 1, generator=rng)
    norm, same = build(1, num_steps=2), build(1, num_steps=2)
    y, _ = norm(x.to(dtype))
    assert y.dtype == torch.float32
    assert torch.equal(y, same(x.to(dtype).float())[0])
    assert torch.equal(norm.running_var, same.running_var)


@each_row("build", [BNTT, TAB, TDBN])
def test_autocast_changes_no_statistics(build, rng):
    x = torch.randn(3, 8, 2, generator=rng)
    norm, same = build(2, num_steps=3), build(2, num_steps=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = norm(x)
    assert torch.equal(y, same(x)[0])
    assert torch.equal(norm.running_mean, same.running_mean)
    assert torch.equal(norm.running_var, same.running_var)


def test_small_modules_take_any_number_of_steps(rng):
    x = torch.randn(7, 2, 3, 4, 4, generator=rng)
    assert LayerNorm(3)(x)[0].shape == x.shape
    assert NoNorm()(x)[0] is x
