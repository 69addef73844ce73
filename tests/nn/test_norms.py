"""Norms against the definitions of their papers; limits; statistics that wait for the update."""

import copy
import pickle

import pytest
import torch
from torch import nn

from bntt.nn import NORMS
from bntt.nn.call import Call
from bntt.nn.norms import BNTT, FAMILY, TAB, TDBN, LayerNorm, NormMethod, TemporalNorm, hold_statistics
from bntt.ops.pooling import Window
from tests.kernels import choose
from tests.nn.networks import small, spikes_of
from tests.rows import each_row

T, B, C, H, W = 5, 4, 3, 3, 2


@pytest.fixture
def x(rng):
    return torch.randn(T, B, C, H, W, generator=rng, dtype=torch.float64) * 1.5 + 0.3


def batch_norms(count=1):
    """PyTorch's, without an affine: that is the method's own."""
    return nn.ModuleList(nn.BatchNorm3d(C, eps=1e-4, momentum=0.3, affine=False).double() for _ in range(count))


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
    norm, bns = NORMS[name](C, T, 0.7, momentum=0.3).double(), batch_norms(count)
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


def test_a_refused_batch_leaves_the_statistics_alone_and_evaluation_takes_it():
    norm, ahead = BNTT(3, num_steps=5), TDBN(3, num_steps=5).eval()
    with pytest.raises(ValueError, match="t=0"):
        norm(torch.ones(5, 1, 3))
    assert torch.equal(norm.running_mean, torch.zeros(5, 3))
    assert norm.eval()(torch.ones(5, 1, 3))[0].shape == (5, 1, 3)
    assert ahead(torch.ones(2, 2, 3), Call(0, whole=False))[0].shape == (2, 2, 3)


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


BATCH_NORMS = [name for name in NORMS if name not in ("layer", "none")]


def build(norm: str, backend: str) -> nn.Module:
    net = small(4, lambda channels, steps: NORMS[norm](channels, steps, 1.0))
    choose(net, backend=backend)
    return net


@each_row("norm", BATCH_NORMS)
@each_row("backend", ["auto", "reference"])
def test_held_and_taken_in_is_what_a_pass_does_at_once(norm, backend, rng):
    first, second = spikes_of(4, 3, rng), spikes_of(4, 3, rng)
    direct, held_back = build(norm, backend), build(norm, backend)
    before = copy.deepcopy(list(held_back.buffers()))
    with hold_statistics(held_back) as held:
        outputs = [held_back(x) for x in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(before, held_back.buffers(), strict=True))
    assert all(torch.equal(direct(x), y) for x, y in zip((first, second), outputs, strict=True))
    held.take_in()
    assert not any(torch.equal(a, b) for a, b in zip(before, held_back.buffers(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(direct.buffers(), held_back.buffers(), strict=True))
    after = copy.deepcopy(list(held_back.buffers()))
    held.take_in()
    assert all(torch.equal(a, b) for a, b in zip(after, held_back.buffers(), strict=True)), "once only"


def test_afterwards_and_after_an_error_passes_move_them_again(rng):
    norm, x = BNTT(3, num_steps=4), torch.randn(4, 5, 3, generator=rng)

    def fail() -> None:
        with hold_statistics(norm):
            norm(x)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not norm.running_mean.any()
    norm(x)
    assert norm.running_mean.any()


def test_a_copy_made_inside_holds_nothing(rng):
    norm, x = BNTT(3, num_steps=4), torch.randn(4, 5, 3, generator=rng)
    with hold_statistics(norm):
        copied, pickled = copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))
    for other in (copied, pickled):
        other(x)
        assert other.running_mean.any()


def test_holding_inside_holding(rng):
    norm, x = BNTT(3, num_steps=4), torch.randn(4, 5, 3, generator=rng)
    with hold_statistics(norm) as outer:
        with hold_statistics(norm) as inner:
            norm(x)
        inner.take_in()
        assert not norm.running_mean.any()
        norm(x.requires_grad_())
    assert not any(batch.mean.requires_grad or batch.var.requires_grad for _, batch, _ in outer._held), "no graph"
    outer.take_in()
    assert norm.running_mean.any()
    with pytest.raises(ValueError, match="t=0"), hold_statistics(norm):
        norm(x[:, :1])


def test_a_copy_of_a_compiled_norm_has_its_own_tables(rng):
    norm, x = BNTT(2, num_steps=3).eval(), torch.randn(3, 4, 2, generator=rng)
    norm._compiled_call_impl = lambda *given: norm._call_impl(*given)  # what norm.compile() sets
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        other.gamma.data.fill_(2.0)
        assert torch.equal(other(x)[0], 2 * norm(x)[0])
