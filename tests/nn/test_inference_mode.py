"""States made in ``torch.inference_mode()`` go on outside of it, with gradients and without."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from bntt import Compute
from bntt.nn.call import NetworkState
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.norms import TAB
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import close, residual, small, spikes_of

pytestmark = needs_kernels


def went_on(net: SpikingNetwork, x: Tensor, *, inference: bool, change=lambda state: state) -> list[Tensor]:
    """Logits and every gradient of the last steps, from a state that the first ones left."""
    with torch.inference_mode() if inference else torch.no_grad():
        _, state = net.advance(x[:2], index=torch.arange(x.shape[1]))
    with torch.no_grad():
        seen, _ = net.advance(x[2:], state)
    logits, state = net.advance(x[2:4], change(state))
    last, _ = net.advance(x[4:], state)
    (logits.square().sum() + (last * torch.arange(1.0, 5.0, dtype=x.dtype)).square().sum()).backward()
    return [seen, logits, last, *(parameter.grad for parameter in net.parameters())]


@pairs(
    change=[lambda state: state, NetworkState.detach],
    backend=["cpu", "reference"],
    training=[True, False],
    build=[small, lambda: small(norm=TAB), lambda: small(learn_leak=True), lambda: residual("before")],
)
def test_a_state_of_inference_mode_is_a_state(build, training, backend, change, rng):
    net = build().train(training)
    wide, x = copy.deepcopy(net).double(), spikes_of(5, 4, rng)
    net.compute, wide.compute = Compute(backend), Compute("reference")
    found = went_on(net, x, inference=True, change=change)
    wanted = went_on(wide, x.double(), inference=False, change=change)
    compared = [both for both in zip(found, wanted, strict=True) if both[1].abs().max() > 1e-9]
    assert all(close(ours, theirs, 2e-4) for ours, theirs in compared)
    assert all(logits.any() for logits in wanted[:3])
    assert len(compared) > len(wanted) // 2


def test_a_state_is_copied_only_where_gradients_are_on(rng):
    net, x = small().eval(), spikes_of(5, 4, rng)
    with torch.inference_mode():
        _, state = net.advance(x[:2])
        assert state.tracked() is state
    membrane = state.tracked().blocks[0].membrane
    assert torch.equal(membrane, state.blocks[0].membrane)
    assert not membrane.is_inference()
    _, state = net.advance(x[:2])
    assert state.tracked().blocks[0].membrane is state.blocks[0].membrane
