"""Every member of the family against the definition of its own paper, with torch's BatchNorm as the building stone."""

import pytest
import torch
from torch import nn

from bntt.nn import (
    NORMS,
    TAB,
    TDBN,
    TEBN,
    BetaBNTT,
    LayerNorm,
    PooledBN,
    ScaledBNTT,
    SharedBN,
    SharedBothBNTT,
    SharedGammaBNTT,
    SharedStatisticsBNTT,
)
from bntt.nn.norms import FAMILY
from tests.rows import each_row

T, B, C, H, W = 5, 4, 3, 3, 2


@pytest.fixture
def x(rng):
    return torch.randn(T, B, C, H, W, generator=rng, dtype=torch.float64) * 1.5 + 0.3


@pytest.fixture
def draw(rng):
    return lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)


def batch_norm(channels=C, kind=nn.BatchNorm2d, affine=True):
    return kind(channels, eps=1e-4, affine=affine).double()


def folded(bn, x):
    """Batch norm over all steps at once: time is part of the batch."""
    return bn(x.reshape(-1, *x.shape[2:])).reshape(x.shape)


def same(norm, definition, x, atol=1e-12):
    """Output and gradient of the input."""
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    (y, _), expected = norm(ours), definition(theirs)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
    y.backward(upstream)
    expected.backward(upstream)
    assert torch.allclose(y, expected, atol=atol, rtol=0)
    assert torch.allclose(ours.grad, theirs.grad, atol=atol, rtol=0)


def test_every_norm_takes_its_settings(x):
    for kind in FAMILY[1:]:
        norm = kind(C, T, eps=0.5, momentum=0.7)
        assert (norm.eps, norm.momentum) == (0.5, 0.7)
    found, _ = LayerNorm(C, eps=0.5).double()(x)
    assert torch.allclose(found, nn.functional.layer_norm(x, x.shape[2:], eps=0.5), atol=1e-12)


def test_tdbn_is_scaled_batch_norm_over_time(x, draw):
    """Zheng et al. 2021: y = λ (α V_th x̂) + β over batch, space and time."""
    norm, bn = TDBN(C, T, alpha=0.5, threshold=3.0).double(), batch_norm(affine=False)
    with torch.no_grad():
        norm.gamma.copy_(draw(1, C))
        norm.beta.copy_(draw(1, C))

    def definition(v):
        shape = (1, 1, C, 1, 1)
        gamma, beta = norm.gamma.detach().reshape(shape), norm.beta.detach().reshape(shape)
        return gamma * (0.5 * 3.0) * folded(bn, v) + beta

    same(norm, definition, x)
    norm.eval()
    bn.eval()
    same(norm, definition, x)
    assert torch.allclose(norm.running_var[0], bn.running_var, atol=1e-14)


def test_tebn_is_batch_norm_over_time_times_p(x, draw):
    """Duan et al. 2022: γ̂_t = γ p_t, β̂_t = β p_t."""
    norm, bn = TEBN(C, T).double(), batch_norm()
    with torch.no_grad():
        for ours, theirs in ((norm.gamma, bn.weight), (norm.beta, bn.bias)):
            ours.copy_(draw(1, C))
            theirs.copy_(ours[0])
        norm.step_scale.copy_(draw(T))

    def definition(v):
        return folded(bn, v) * norm.step_scale.detach().reshape(T, 1, 1, 1, 1)

    same(norm, definition, x)
    norm.eval()
    bn.eval()
    same(norm, definition, x)


def test_tab_is_a_batch_norm_over_the_past_of_every_step(x, draw):
    """Jiang et al. 2024 and their code: BatchNorm number t over steps 0..t, its last slice, times p_t²."""
    norm, bns = TAB(C, T).double(), nn.ModuleList(batch_norm(kind=nn.BatchNorm3d) for _ in range(T))
    with torch.no_grad():
        for ours, attribute in ((norm.gamma, "weight"), (norm.beta, "bias")):
            ours.copy_(draw(T, C))
            for t, bn in enumerate(bns):
                getattr(bn, attribute).copy_(ours[t])
        norm.step_scale.copy_(draw(T))

    def definition(v):
        steps = []
        for t, bn in enumerate(bns):
            past = v[: t + 1].permute(1, 2, 0, 3, 4)
            steps.append(bn(past)[:, :, t] * norm.step_scale.detach()[t] ** 2)
        return torch.stack(steps)

    same(norm, definition, x)
    for t, bn in enumerate(bns):
        assert torch.allclose(norm.running_mean[t], bn.running_mean, atol=1e-14)
        assert torch.allclose(norm.running_var[t], bn.running_var, atol=1e-14)
    norm.eval()
    bns.eval()
    same(norm, definition, x)


def test_shared_bn_is_one_batch_norm_called_at_every_step(x):
    norm, bn = SharedBN(C, T).double(), batch_norm()

    def definition(v):
        return torch.stack([bn(step) for step in v])

    same(norm, definition, x)
    assert torch.allclose(norm.running_mean[0], bn.running_mean, atol=1e-14)
    assert torch.allclose(norm.running_var[0], bn.running_var, atol=1e-14)
    norm.eval()
    bn.eval()
    same(norm, definition, x)


def test_pooled_bn_is_one_batch_norm_over_the_folded_batch(x):
    norm, bn = PooledBN(C, T).double(), batch_norm()
    same(norm, lambda v: folded(bn, v), x)
    assert torch.allclose(norm.running_var[0], bn.running_var, atol=1e-14)
    norm.eval()
    bn.eval()
    same(norm, lambda v: folded(bn, v), x)


def test_what_bntt_shares_is_the_one_thing_that_is_shared(x, draw):
    """γ x̂ with statistics of each step or of all, and γ of each step or of all; by torch's own batch norms."""
    own, pooled = [batch_norm(affine=False) for _ in range(T)], batch_norm(affine=False)

    def normalised(norm, v):
        if norm.running_mean.shape[0] == 1:
            return folded(pooled, v)
        return torch.stack([bn(step) for bn, step in zip(own, v, strict=True)])

    for kind, rows in ((SharedGammaBNTT, (1, T)), (SharedStatisticsBNTT, (T, 1)), (SharedBothBNTT, (1, 1))):
        norm = kind(C, T).double()
        assert (norm.gamma.shape[0], norm.running_mean.shape[0], norm.beta) == (*rows, None)
        with torch.no_grad():
            norm.gamma.copy_(draw(rows[0], C))
        same(norm, lambda v, n=norm: normalised(n, v) * n.gamma.detach().reshape(-1, 1, C, 1, 1), x)


def test_scaled_bntt_is_bntt_times_alpha_theta(x):
    bns = [batch_norm(affine=False) for _ in range(T)]
    norm = ScaledBNTT(C, T, alpha=0.5, threshold=3.0).double()
    same(norm, lambda v: torch.stack([1.5 * bn(step) for bn, step in zip(bns, v, strict=True)]), x)


def test_layer_norm_is_over_one_sample_and_step(x, draw):
    """Ba et al. 2016, over C, H, W; our choice: a scale per channel shared over time, no shift."""
    norm = LayerNorm(C).double()
    with torch.no_grad():
        norm.gamma.copy_(draw(1, C))

    def definition(v):
        plain = nn.functional.layer_norm(v, (C, H, W), eps=1e-4)
        return plain * norm.gamma.detach().reshape(1, 1, C, 1, 1)

    same(norm, definition, x)


def test_layer_norm_of_features(draw):
    x = draw(T, B, C)
    assert torch.allclose(LayerNorm(C).double()(x)[0], nn.functional.layer_norm(x, (C,), eps=1e-4), atol=1e-14)


@each_row("name", NORMS)
def test_names_build_norms_with_no_unwanted_shift(name):
    """The paper removes β from BNTT; what has one is told apart."""
    norm = NORMS[name](C, T, 1.0)
    has_beta = getattr(norm, "beta", None) is not None
    assert has_beta == (name in {"tdbn", "tebn", "tab", "bntt-beta", "bn", "bn-pooled"})


@each_row("name", ["tdbn", "bntt-scaled"])
def test_the_builders_threshold_reaches_the_scale(name):
    assert NORMS[name](C, T, 2.5).scale == 2.5


def test_bntt_with_a_shift_is_batch_norm_of_each_step_with_its_own(x, draw):
    norm, each = BetaBNTT(C, T).double(), [batch_norm() for _ in range(T)]
    with torch.no_grad():
        norm.gamma.copy_(draw(T, C))
        norm.beta.copy_(draw(T, C))
        for t, bn in enumerate(each):
            bn.weight.copy_(norm.gamma[t])
            bn.bias.copy_(norm.beta[t])

    def definition(v):
        return torch.stack([bn(step) for bn, step in zip(each, v, strict=True)])

    same(norm, definition, x)
    norm.eval()
    for bn in each:
        bn.eval()
    same(norm, definition, x)
