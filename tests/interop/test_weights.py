"""Weights out: the authors' network and those of SpikingJelly's and snnTorch's layers take ours, and give them back."""

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from bntt.models import vgg6
from bntt.training.foreign import as_ours, read_foreign
from tests import foreign
from tests.rows import each_row

T, WIDTH = 3, 0.5


def network(rng: torch.Generator, eps: float) -> bntt.SpikingNetwork:
    net = vgg6(num_steps=T, width=WIDTH, norm_eps=eps)
    for key, value in net.state_dict().items():
        if value.ndim == 2 and "norm" in key:
            value.uniform_(0.2, 1.2, generator=rng)
            value.sub_(0.7 if key.endswith("mean") else 0.0).mul_(0.1 if key.endswith("var") else 1.0)
    return net.eval()


@pytest.mark.parametrize("layout", ["authors", "spikingjelly", "snntorch"])
def test_out_and_in_again_is_exact(layout, rng):
    net, loop = network(rng, 1e-4), foreign.Loop(foreign.VGG6, T, width=WIDTH)
    theirs = {"authors": foreign.Loop.state_dict, "spikingjelly": foreign.spikingjelly, "snntorch": foreign.snntorch}
    given = theirs[layout](loop)
    for like in (None, given, *[dict(reversed(given.items()))] * (layout == "authors")):  # whose names tell the layer
        state = interop.to_state_dict(net, layout, like=like)
        assert like is None or [*state] == [*like]
        found = as_ours(read_foreign(state), net)
        assert found.keys() == net.state_dict().keys()
        assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())
    state[next(iter(state))].zero_()
    assert net.blocks["conv1"].synapse.weight.any()


def test_names_of_a_network_wrapped_for_several_gpus_stay(rng):
    net = network(rng, 1e-4)
    theirs = {f"module.{name}": value for name, value in interop.to_state_dict(net, "authors").items()}
    state = interop.to_state_dict(net, "authors", like=theirs)
    assert [*state] == [*theirs]
    assert all(torch.equal(value, theirs[name]) for name, value in state.items())


def like(num_steps: int, width: float) -> dict[str, dict[str, torch.Tensor]]:
    return {"like": foreign.Loop(foreign.VGG6, num_steps, width=width).state_dict()}


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


NAMELESS = bntt.SpikingNetwork(
    {"a": bntt.SpikingBlock(linear(4, 3), bntt.BNTT(3, T), bntt.LIF())}, bntt.Readout(linear(3, 2))
)
REFUSED = [
    (vgg6(num_steps=T, width=WIDTH, norm="bntt-beta"), "authors", {}, "'conv1' has no BNTT"),
    (NAMELESS, "authors", {}, "'a'"),
    (bntt.models.mlp(hidden=(3,), num_steps=T), "authors", {}, "'fc1'"),
    (vgg6(num_steps=T, width=WIDTH, learn_leak=True), "authors", {}, "'conv1' has neurons"),
    (vgg6(num_steps=T, width=WIDTH, readout="spikes"), "authors", {}, "readout"),
    (vgg6(num_steps=T, width=WIDTH), "author", {}, "'author'"),
    (vgg6(num_steps=T, width=WIDTH), "authors", like(T + 1, WIDTH), "steps"),
    (vgg6(num_steps=T, width=WIDTH), "authors", like(T, 0.25), "shapes"),
]


@each_row("net, layout, options, named", REFUSED)
def test_what_such_networks_do_not_have_is_refused(net, layout, options, named):
    with pytest.raises(ValueError, match=named):
        interop.to_state_dict(net, layout, **options)
