"""Running statistics that wait for the update."""

import copy
import pickle

import pytest
import torch
from torch import nn

from bntt.nn import BNTT, NORMS, hold_statistics
from tests.kernels import choose
from tests.nn.networks import small, spikes_of
from tests.rows import each_row

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
