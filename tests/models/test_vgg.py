"""The released architectures, layer by layer (weights, γ, neurons, order)."""

import torch

from bntt.models import vgg6, vgg9, vgg11


def plan(net):
    """``(weight shape, pool)`` of every hidden layer."""
    rows = []
    for block in net.blocks.values():
        pools = [type(m).__name__ for m in block.pool.modules() if "Pool" in type(m).__name__]
        rows.append((tuple(block.synapse.weight.shape), *pools))
    return rows


def counts(net, num_steps):
    gammas = sum(block.norm.gamma.numel() for block in net.blocks.values())
    return sum(p.numel() for p in net.parameters()) - gammas, gammas / num_steps


def test_vgg9_is_as_released():
    net = vgg9(num_classes=10, num_steps=25)
    assert plan(net) == [
        ((64, 3, 3, 3),),
        ((64, 64, 3, 3), "AvgPool2d"),
        ((128, 64, 3, 3),),
        ((128, 128, 3, 3), "AvgPool2d"),
        ((256, 128, 3, 3),),
        ((256, 256, 3, 3),),
        ((256, 256, 3, 3), "AvgPool2d"),
        ((1024, 4096),),
    ]
    assert list(net.blocks) == [*(f"conv{i}" for i in range(1, 8)), "fc1"]
    assert counts(net, 25) == (5_938_880, 2_176)
    trace = net.eval().trace(torch.zeros(1, 1, 3, 32, 32))
    assert list(trace.neurons.values()) == [65536, 65536, 32768, 32768, 16384, 16384, 16384, 1024]


def test_vgg11_is_as_released():
    net = vgg11(num_classes=100, num_steps=2)
    assert plan(net) == [
        ((64, 3, 3, 3), "AvgPool2d"),
        ((128, 64, 3, 3), "AvgPool2d"),
        ((256, 128, 3, 3),),
        ((256, 256, 3, 3), "AvgPool2d"),
        ((512, 256, 3, 3),),
        ((512, 512, 3, 3), "AvgPool2d"),
        ((512, 512, 3, 3),),
        ((512, 512, 3, 3), "AdaptiveAvgPool2d"),
        ((4096, 512),),
    ]
    weights, gammas = counts(net, 2)
    assert round(weights / 1e6, 2) == 11.72
    assert gammas == 6_848
    assert round(counts(vgg11(num_classes=200, num_steps=1, image_size=64), 1)[0] / 1e6, 2) == 12.13


def test_multiplications_of_vgg9_are_the_fact_sheets():
    """194.7 M multiply-adds a step for one 32x32 image, by torch's own counter (which counts two per MAC)."""
    from torch.utils.flop_counter import FlopCounterMode

    net = vgg9(num_classes=10, num_steps=1).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 3, 32, 32))
    assert round(counter.get_total_flops() / 2 / 1e6, 1) == 194.7


def test_no_layer_has_a_bias_and_the_output_no_norm():
    names = [name for name, _ in vgg6(num_steps=1).named_parameters()]
    assert not any("bias" in name or "beta" in name for name in names)
    assert [name for name in names if "readout" in name] == ["readout.synapse.weight"]


def test_weights_start_xavier_uniform_with_gain_two():
    weight = vgg9(num_steps=1).blocks["conv6"].synapse.weight
    bound = 2 * (6 / (9 * 256 + 9 * 256)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.99 * bound
    assert abs(weight.std() - bound / 3**0.5) < 0.01 * bound


def test_width_multiplies_every_layer():
    net = vgg9(width=0.25, num_steps=1)
    assert [block.synapse.weight.shape[0] for block in net.blocks.values()] == [16, 16, 32, 32, 64, 64, 64, 256]
