"""TemporalNorm's behaviour: promise N1, modes, limits and messages."""

import math
import re

import pytest
import torch
from torch import nn

from bntt.nn import (
    BNTT,
    LIF,
    TAB,
    TDBN,
    Call,
    CurrentBlock,
    LayerNorm,
    NoNorm,
    NormMethod,
    Residual,
    SharedBN,
    SpikingBlock,
    TemporalNorm,
    Window,
)
from tests.nn.networks import linear
from tests.rows import each_row


def separate_batch_norms(num_steps, channels, dims, dtype, momentum=0.1):
    """The definition: T independent BatchNorms whose β is removed."""
    kind = {0: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims]
    norms = nn.ModuleList(kind(channels, eps=1e-4, momentum=momentum) for _ in range(num_steps))
    for norm in norms:
        norm.bias = None
    return norms.to(dtype)


def largest_differences(space, dtype, training, momentum=0.1):
    """Sequence form against T BatchNorms: largest difference in outputs, gradients and running statistics."""
    steps, batch, channels = 6, 5, 3
    generator = torch.Generator().manual_seed(0)
    norms = separate_batch_norms(steps, channels, len(space), dtype, momentum)
    norm = BNTT(channels, num_steps=steps, momentum=momentum).to(dtype)
    with torch.no_grad():
        norm.gamma.copy_(torch.randn(steps, channels, generator=generator))
        for t, bn in enumerate(norms):
            bn.weight.copy_(norm.gamma[t])
            bn.running_mean.copy_(torch.randn(channels, generator=generator))
            norm.running_mean[t] = bn.running_mean
    norms.train(training)
    norm.train(training)
    x = torch.randn(steps, batch, channels, *space, generator=generator).to(dtype) * 2 + 0.5
    upstream = torch.randn(x.shape, generator=generator).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, _ = norm(ours)
    expected = torch.stack([bn(theirs[t]) for t, bn in enumerate(norms)])
    y.backward(upstream)
    expected.backward(upstream)

    def distance(a, b):
        return (a - b).abs().max().item()

    return {
        "output": distance(y, expected),
        "input gradient": distance(ours.grad, theirs.grad),
        "gamma gradient": distance(norm.gamma.grad, torch.stack([bn.weight.grad for bn in norms])),
        "running mean": distance(norm.running_mean, torch.stack([bn.running_mean for bn in norms])),
        "running variance": distance(norm.running_var, torch.stack([bn.running_var for bn in norms])),
    }


@each_row("space", [(), (4, 5)])
@each_row("training", [True, False])
@each_row("momentum", [0.1, 0.7])
def test_bntt_is_t_batch_norms_without_beta_in_float64(space, training, momentum):
    assert max(largest_differences(space, torch.float64, training, momentum).values()) <= 1e-12


@each_row("space", [(), (4, 5)])
@each_row("training", [True, False])
def test_bntt_is_t_batch_norms_without_beta_in_float32(space, training):
    """γ's gradient is a sum of a hundred products of size one: it has ten times their rounding."""
    found = largest_differences(space, torch.float32, training)
    assert found.pop("gamma gradient") <= 1e-5
    assert max(found.values()) <= 1e-6


def test_a_step_beyond_the_last_says_what_to_do():
    norm = BNTT(4, num_steps=25)
    norm.path = "block3.norm"
    message = (
        "BNTT 'block3.norm' has 25 time steps (0-24), got t=25: build the network with num_steps=26, or stop earlier"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        norm(torch.ones(1, 2, 4), Call(25))
    with pytest.raises(ValueError, match=r"has 25 time steps .*got t=25"):
        norm(torch.ones(26, 2, 4), Call())


@each_row("training", [True, False])
@each_row("make", [BNTT, TDBN, SharedBN, TAB])
def test_a_norm_called_alone_takes_all_of_its_steps(make, training):
    """Images without time, whose height is the number of channels, would be steps of sequences otherwise."""
    norm = make(8, 6).train(training)
    for wrong in (torch.ones(4, 8, 8, 5), torch.ones(5, 2, 8), torch.ones(7, 2, 8, 4, 4)):
        with pytest.raises(ValueError, match=r"takes all of its 6 time steps .*Call\(first=0\).* advance\(x, state\)"):
            norm(wrong)
        if len(wrong) < 6:
            assert norm(wrong, Call(0))[0].shape == wrong.shape
    with pytest.raises(ValueError, match=r"\[6, 8, 8, 5\] may as well be images \[B, C, H, W\]: .*norm\(x, Call\(\)\)"):
        norm(torch.ones(6, 8, 8, 5))
    x = torch.arange(6 * 8 * 8 * 5.0).reshape(6, 8, 8, 5)
    sequences, _ = norm(x, Call())
    assert torch.equal(sequences, make(8, 6).train(training)(x.unsqueeze(-1))[0].squeeze(-1))
    for right in (torch.ones(6, 2, 8), torch.ones(6, 8, 8), torch.ones(6, 3, 8, 5), torch.ones(6, 8, 8, 5, 8)):
        assert norm(right)[0].shape == right.shape


def test_a_block_called_alone_hands_the_question_on():
    block = SpikingBlock(linear(4, 8), BNTT(8, 6), LIF())
    with pytest.raises(ValueError, match="takes all of its 6 time steps"):
        block(torch.ones(5, 2, 4))
    assert block(torch.ones(5, 2, 4), Call())[0].shape == (5, 2, 8)
    residual = Residual({"a": CurrentBlock(linear(8, 8), TDBN(8, 6))})
    with pytest.raises(ValueError, match="takes all of its 6 time steps"):
        residual(torch.ones(5, 2, 8))


def test_layer_norm_looks_at_what_it_is_given():
    with pytest.raises(ValueError, match=r"has 8 channels, got \[4, 8, 6, 5\]"):
        LayerNorm(8)(torch.ones(4, 8, 6, 5))
    with pytest.raises(ValueError, match=r"LayerNorm takes .*may as well be images"):
        LayerNorm(8)(torch.ones(4, 8, 8, 5))
    assert LayerNorm(8)(torch.ones(4, 8, 8, 5), Call())[0].shape == (4, 8, 8, 5)


def test_wrong_channels_and_empty_batches_are_refused():
    with pytest.raises(ValueError, match=r"has 3 channels, got \[5, 2, 4\]"):
        BNTT(3, num_steps=5)(torch.ones(5, 2, 4))
    with pytest.raises(ValueError, match="empty batch"):
        BNTT(3, num_steps=5)(torch.ones(5, 0, 3))


def test_one_row_cannot_be_normalised_in_training():
    norm = BNTT(3, num_steps=5)
    norm.path = "fc1.norm"
    with pytest.raises(ValueError, match=r"BNTT 'fc1.norm' cannot take statistics over a single value .*step t=0"):
        norm(torch.ones(5, 1, 3))
    with pytest.raises(ValueError, match="step t=3"):
        norm(torch.ones(1, 1, 3), Call(3))
    assert norm.eval()(torch.ones(5, 1, 3))[0].shape == (5, 1, 3)
    assert torch.equal(norm.running_mean, torch.zeros(5, 3)), "a refused batch leaves the statistics alone"


def test_statistics_that_look_ahead_need_all_steps_in_training():
    norm, part = TDBN(3, num_steps=5), Call(0, whole=False)
    with pytest.raises(ValueError, match=r"takes its training statistics over all time steps, .* \(steps 0-1\)"):
        norm(torch.ones(2, 2, 3), part)
    assert norm.eval()(torch.ones(2, 2, 3), part)[0].shape == (2, 2, 3)


def test_tab_with_one_row_fails_only_where_one_value_is_all_there_is():
    with pytest.raises(ValueError, match="step t=0"):
        TAB(3, num_steps=5)(torch.ones(5, 1, 3))


def test_a_negative_gamma_is_legal(rng):
    norm = BNTT(3, num_steps=4)
    nn.init.constant_(norm.gamma, -1.0)
    x = torch.randn(4, 8, 3, generator=rng)
    assert torch.equal(norm(x)[0], -BNTT(3, num_steps=4)(x)[0])


@each_row("options", [{"eps": 0.0}, {"eps": -1.0}, {"eps": math.inf}, {"momentum": 1.5}, {"momentum": -0.1}])
def test_settings_out_of_range(options):
    with pytest.raises(ValueError, match="needs eps > 0, momentum from 0 to 1"):
        BNTT(3, num_steps=4, **options)


@each_row("channels, steps", [(0, 3), (3, 0), (3, 2.0)])
def test_sizes_out_of_range(channels, steps, no_hook):
    with pytest.raises(ValueError, match="needs channels and num_steps, integers >= 1"):
        BNTT(channels, num_steps=steps)


def test_a_constant_channel_stays_finite():
    norm = BNTT(2, num_steps=3)
    x = torch.zeros(3, 4, 2, requires_grad=True)
    norm(x)[0].sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(norm.gamma.grad).all()


@each_row("back", [0, 1, 2, None])
def test_a_window_over_time_is_data_and_trains_in_any_cut(back, rng):
    """Against batch norms over the steps that the window holds, in values, gradients and running statistics."""
    method, x = NormMethod("Window", pooling=Window(back)), torch.randn(4, 5, 3, generator=rng, dtype=torch.float64)
    weights, found = torch.randn(4, 5, 3, generator=rng, dtype=torch.float64), []
    for sizes in ([4], [1, 1, 1, 1], [3, 1]):
        norm, leaf = TemporalNorm(3, 4, method).double(), x.clone().requires_grad_()
        state, first, parts = None, 0, []
        for part in leaf.split(sizes):
            y, state = norm(part, Call(first, whole=False), state)
            parts.append(y)
            first += len(part)
        (torch.cat(parts) * weights).sum().backward()
        found.append([torch.cat(parts).detach(), leaf.grad, norm.gamma.grad, norm.running_mean, norm.running_var])
    leaf, expected = x.clone().requires_grad_(), []
    for t in range(4):
        held = leaf[0 if back is None else max(0, t - back) : t + 1].flatten(0, 1)
        expected.append((leaf[t] - held.mean(0)) / (held.var(0, unbiased=False) + 1e-4).sqrt())
    (torch.stack(expected) * weights).sum().backward()
    assert torch.allclose(found[0][0], torch.stack(expected), atol=1e-12)
    assert torch.allclose(found[0][1], leaf.grad, atol=1e-12)
    for other in found[1:]:
        assert all(torch.allclose(ours, theirs, atol=1e-12) for ours, theirs in zip(other, found[0], strict=True))


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


def test_a_window_beyond_the_last_step_is_refused():
    method = NormMethod("Mine", pooling=Window(4))
    assert TemporalNorm(3, 5, method).num_steps == 5
    with pytest.raises(ValueError, match="Mine pools over 5 steps, a step and 4 before it, but has only 4"):
        TemporalNorm(3, 4, method)
