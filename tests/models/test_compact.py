"""The compact network: its shapes and work, that it runs fused, and its ANN twin with a norm."""

import torch

from bntt.analysis.energy.operations import plan_layers
from bntt.models import compact
from bntt.nn import NORMS
from tests.kernels import needs_kernels
from tests.rows import each_row


def test_its_shapes_and_its_work_are_those_of_the_docstring():
    net = compact(num_steps=2)
    found = plan_layers(net, (3, 32, 32), None)
    sizes = {"conv1": (32, 32), "conv2": (64, 16), "conv3": (128, 8), "pair3.after": (128, 8), "pair4.after": (256, 4)}
    assert {name: found[name].out for name in sizes} == {name: (c, side, side) for name, (c, side) in sizes.items()}
    assert [found[name].into.shape for name in ("conv2", "conv4", "readout")] == [(32, 16, 16), (128, 4, 4), (256,)]
    macs = sum(one.weights.weight.numel() * one.out[-1] ** 2 for one in found.values() if one.weights and one.out[1:])
    assert round(macs / 1e6) == 53
    assert sum(p.numel() for p in compact(num_steps=1, norm="none").parameters()) == 1_865_056
    assert compact(width=0.25).eval()(torch.ones(2, 1, 3, 13, 9)).shape == (1, 10)


@needs_kernels
@each_row("norm", NORMS)
def test_it_runs_fused_and_has_an_ann_twin_with_every_norm(norm):
    net, twin = compact(width=0.25, norm=norm), compact(width=0.25, norm=norm, neuron="relu", num_steps=1)
    for training in (True, False):
        assert not net.train(training).plan((2, 2, 3, 32, 32)).reason
    assert {n: p.shape[1:] for n, p in net.named_parameters()} == {n: p.shape[1:] for n, p in twin.named_parameters()}
    x = torch.rand(1, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    twin(x).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in twin.parameters())
