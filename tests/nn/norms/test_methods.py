"""Every member of the family against the definition of its own paper, with torch's BatchNorm as the building stone."""

import pytest
import torch
from torch import nn

from bntt.nn import NORMS, TAB, TDBN, LayerNorm, NormMethod, PooledBN, TemporalNorm, Window
from bntt.nn.norms import FAMILY
from tests.rows import each_row

T, B, C, H, W = 5, 4, 3, 3, 2


@pytest.fixture
def x(rng):
    return torch.randn(T, B, C, H, W, generator=rng, dtype=torch.float64) * 1.5 + 0.3


def batch_norms(count=1):
    """PyTorch's, without an affine: that is the method's own."""
    return nn.ModuleList(nn.BatchNorm3d(C, eps=1e-4, affine=False).double() for _ in range(count))


def each_step(bns, x):
    return torch.stack([bns[t % len(bns)](step.unsqueeze(2)).squeeze(2) for t, step in enumerate(x)])


def over_all_steps(bns, x):
    return bns[0](x.permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4)


def over_the_past(bns, x):
    """Jiang et al. 2024 and their code: BatchNorm number t over steps 0..t, its last slice."""
    return torch.stack([bn(x[: t + 1].permute(1, 2, 0, 3, 4))[:, :, t] for t, bn in enumerate(bns)])


DEFINITIONS = {  # x̂; how many batch norms; rows of γ; whether there is β; the power of p; the factor α θ
    "bntt": (each_step, T, T, False, 0, 1.0),
    "bntt-scaled": (each_step, T, T, False, 0, 0.7),
    "bntt-beta": (each_step, T, T, True, 0, 1.0),
    "bntt-shared-gamma": (each_step, T, 1, False, 0, 1.0),
    "bntt-shared-statistics": (over_all_steps, 1, T, False, 0, 1.0),
    "bntt-shared-both": (over_all_steps, 1, 1, False, 0, 1.0),
    "bn": (each_step, 1, 1, True, 0, 1.0),
    "bn-pooled": (over_all_steps, 1, 1, True, 0, 1.0),
    "tdbn": (over_all_steps, 1, 1, True, 0, 0.7),  # Zheng et al. 2021: y = γ (α V_th x̂) + β
    "tebn": (over_all_steps, 1, 1, True, 1, 1.0),  # Duan et al. 2022: γ̂_t = γ p_t, β̂_t = β p_t
    "tab": (over_the_past, T, T, True, 2, 1.0),
}


def test_every_norm_with_batch_statistics_has_a_definition():
    assert DEFINITIONS.keys() == NORMS.keys() - {"layer", "none"}


@each_row("name", DEFINITIONS)
def test_a_norm_is_its_definition(name, x, rng):
    """In training and evaluation: values, the gradients of the input and of γ, β and p, and running statistics."""
    normalised, count, rows, shifts, power, scale = DEFINITIONS[name]
    norm, bns = NORMS[name](C, T, 0.7).double(), batch_norms(count)
    assert (norm.gamma.shape[0], norm.beta is not None, norm.running_mean.shape[0]) == (rows, shifts, count)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    own = {part: parameter.detach().clone().requires_grad_() for part, parameter in norm.named_parameters()}

    def definition(v):
        gamma, beta = (own[part].reshape(-1, 1, C, 1, 1) if part in own else 0.0 for part in ("gamma", "beta"))
        y = scale * gamma * normalised(bns, v) + beta
        return y * own["step_scale"].reshape(T, 1, 1, 1, 1) ** power if power else y

    for training in (True, False):
        norm.train(training), bns.train(training)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = norm(inputs[0])[0], definition(inputs[1])
        for y in outputs:
            y.backward(torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape))
        assert torch.allclose(*outputs, atol=1e-12, rtol=0)
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-12, rtol=0)
        for part, parameter in norm.named_parameters():
            assert torch.allclose(parameter.grad, own[part].grad, atol=1e-11), part
        for t, bn in enumerate(bns):
            assert torch.allclose(norm.running_mean[t], bn.running_mean, atol=1e-14)
            assert torch.allclose(norm.running_var[t], bn.running_var, atol=1e-14)


def test_every_norm_takes_its_settings(x):
    for kind in FAMILY[1:]:
        norm = kind(C, T, eps=0.5, momentum=0.7)
        assert (norm.eps, norm.momentum) == (0.5, 0.7)
    assert TDBN(C, T, alpha=0.5, threshold=3.0).scale == 1.5
    found, _ = LayerNorm(C, eps=0.5).double()(x)
    assert torch.allclose(found, nn.functional.layer_norm(x, x.shape[2:], eps=0.5), atol=1e-12)


@each_row("shape", [(T, B, C, H, W), (T, B, C)])
def test_layer_norm_is_over_one_sample_and_step(shape, rng):
    """Ba et al. 2016, over C, H, W; our choice: a scale per channel shared over time, no shift."""
    norm, x = LayerNorm(C).double(), torch.randn(shape, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        norm.gamma.copy_(torch.randn(1, C, generator=rng))
    plain = nn.functional.layer_norm(x, shape[2:], eps=1e-4)
    wanted = plain * norm.gamma.reshape(1, 1, C, *[1] * len(shape[3:]))
    assert torch.allclose(norm(x)[0], wanted, atol=1e-12)


@each_row("back", [0, 1, 2, None])
def test_a_window_over_time_is_the_steps_that_it_holds(back, x):
    norm, leaves = TemporalNorm(C, T, NormMethod("Window", pooling=Window(back))).double(), [x.clone(), x.clone()]
    ours, theirs = (leaf.requires_grad_() for leaf in leaves)
    wanted = []
    for t in range(T):
        held = theirs[0 if back is None else max(0, t - back) : t + 1]
        var, mean = torch.var_mean(held, (0, 1, 3, 4), correction=0, keepdim=True)
        wanted.append((theirs[t] - mean[0]) / (var[0] + 1e-4).sqrt())
    weights = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape)
    outputs = norm(ours)[0], torch.stack(wanted)
    for y in outputs:
        (y * weights).sum().backward()
    assert torch.allclose(*outputs, atol=1e-12)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-12)


@each_row("build", [TAB, PooledBN])
def test_a_norm_called_without_steps_has_all_of_them(build):
    for right in (torch.ones(6, 2, 8), torch.ones(6, 8, 8), torch.ones(6, 3, 8, 5), torch.ones(6, 8, 8, 5, 8)):
        assert build(8, 6)(right)[0].shape == right.shape
