"""States: whose rows they are, and where gradients stop."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn.blocks import BlockState
from bntt.nn.call import NetworkState, Noise, detached, rows_of
from bntt.nn.network.measured import Currents, LayerMeasures, Measure
from bntt.ops.norm import Moments


def state(**changes) -> NetworkState:
    moments = Moments(torch.ones(1, 2), torch.ones(1, 2), (3,))
    blocks = (BlockState(torch.arange(6.0).reshape(3, 2), moments), {"u": torch.arange(3.0)}, None)
    return NetworkState(2, 3, blocks, torch.arange(3.0)[:, None], Noise(1, 2, torch.tensor([7, 8, 9])), **changes)


@pytest.mark.parametrize("keep", [torch.tensor([True, False, True]), torch.tensor([0, 2])])
def test_rows_are_taken_of_everything_that_has_some(keep):
    some = state().rows(keep)
    assert (some.steps, some.batch) == (2, 2)
    assert some.blocks[0].membrane.tolist() == [[0, 1], [4, 5]]
    assert some.blocks[0].norm.count == (3,)
    assert torch.equal(some.blocks[0].norm.mean, torch.ones(1, 2))
    assert some.blocks[1]["u"].tolist() == [0, 2]
    assert some.blocks[2] is None
    assert some.readout.flatten().tolist() == [0, 2]
    assert some.noise.index.tolist() == [7, 9]
    assert (some.noise.seed, some.noise.draw) == (1, 2)


def test_rows_keep_the_order_of_memory(rng):
    """A membrane of the kernels, with the channels last, and one of modules."""
    last = torch.randn(5, 4, 4, 3, generator=rng).permute(0, 3, 1, 2)
    for keep in (torch.tensor([3, 1, 4]), torch.tensor([True, False, True, True, False])):
        some = NetworkState(1, 5, (last, last.contiguous()), torch.arange(5.0)[:, None]).rows(keep)
        assert all(torch.equal(block, last[keep]) for block in some.blocks)
        assert some.blocks[0].permute(0, 2, 3, 1).is_contiguous()


def test_a_state_of_yours_says_how():
    class Mine:
        def __init__(self, u):
            self.u = u

        def rows(self, keep):
            return Mine(self.u[keep])

        def detach(self):
            return Mine(self.u.detach())

    kept = rows_of((Mine(torch.arange(3.0, requires_grad=True)),), torch.tensor([2]))[0]
    assert kept.u.tolist() == [2]
    assert kept.u.requires_grad
    assert not detached(kept).u.requires_grad


@pytest.mark.parametrize("place", ["bntt.engine.graph.recording", "bntt.nn.network.measured"])
def test_a_state_with_measurements_is_kept_in_a_file(place, tmp_path, monkeypatch):
    """As it is saved now, and as it was before its record came to the engine."""
    net = mlp(in_features=4, hidden=(8,), num_steps=3).eval()
    _, state = net.advance(torch.ones(2, 3, 4), measure=Measure(spikes=True, current=(0.0, 1.0), arrivals=True))
    with monkeypatch.context() as before:
        for kind in (LayerMeasures, Currents):
            before.setattr(kind, "__module__", place)
        torch.save(state, tmp_path / "state.pt")
    found = torch.load(tmp_path / "state.pt")
    assert torch.equal(found.measured["fc1"].spikes, state.measured["fc1"].spikes)
    assert torch.equal(net.advance(torch.ones(1, 3, 4), found)[0], net.advance(torch.ones(1, 3, 4), state)[0])


def test_detaching_reaches_every_part():
    leaf = torch.ones(1, 2, requires_grad=True)
    whole = NetworkState(1, 1, (BlockState(2 * leaf, Moments(2 * leaf, 3 * leaf, (1,))), leaf), leaf * 2).detach()
    parts = [
        whole.readout,
        whole.blocks[0].membrane,
        whole.blocks[0].norm.mean,
        whole.blocks[0].norm.var,
        whole.blocks[1],
    ]
    assert not any(part.requires_grad for part in parts)
