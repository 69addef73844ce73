"""The network for event frames, layer by layer, and the same on the kernels."""

import torch

from bntt.engine.compute import Compute
from bntt.models import dvs_cnn
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.models.test_vgg import counts, plan
from tests.rows import each_row


def test_the_layers_are_those_of_wu_et_al():
    net = dvs_cnn(num_steps=20)
    assert plan(net) == [
        ((128, 2, 3, 3),),
        ((128, 128, 3, 3), "AvgPool2d"),
        ((384, 128, 3, 3),),
        ((384, 384, 3, 3), "AvgPool2d"),
        ((1024, 38400),),
        ((512, 1024),),
    ]
    assert counts(net, 20) == (41_770_240, 2 * 128 + 2 * 384 + 1024 + 512)


@each_row("size, features", [(42, 10 * 10 * 24), (48, 12 * 12 * 24), (7, 24), (4, 24)])
def test_a_pooling_leaves_an_odd_last_row_out(size, features):
    net = dvs_cnn(num_steps=2, width=1 / 16, image_size=size)
    assert net.blocks["fc1"].synapse.weight.shape == (64, features)
    assert net.eval()(torch.ones(2, 1, 2, size, size)).shape == (1, 10)


@needs_kernels
@every_value(norm=["bntt", "bn", "none"], events=["fixed", "never"])
def test_counts_above_one_and_odd_poolings_are_the_same_on_the_kernels(norm, events):
    """Up to the first spike that falls the other way: on few steps and samples none does."""
    x = torch.poisson(torch.full((3, 4, 2, 14, 14), 0.7), generator=torch.Generator().manual_seed(0))
    assert x.max() > 2
    found = []
    for compute in (Compute("reference"), Compute("cpu", events=events)):
        net = dvs_cnn(num_steps=3, width=1 / 16, image_size=14, norm=norm)
        with torch.no_grad():
            for weights in net.parameters():  # without a norm else hardly a neuron fires, and 0 is compared with 0
                weights.mul_(2 if norm == "none" else 1)
        net.compute = compute
        logits = net(x)
        logits.square().sum().backward()
        found.append((logits.detach(), [p.grad for p in net.parameters()]))
    (plain, gradients), (fused, others) = found
    assert torch.allclose(plain, fused, atol=1e-4)
    assert all(one.abs().max() > 0 for one in gradients)
    for one, other in zip(gradients, others, strict=True):
        assert torch.allclose(one, other, atol=1e-3 * float(one.abs().max()) + 1e-6)
