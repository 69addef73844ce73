"""Every norm of the family inside a network: when its statistics move, and what it looks at."""

import copy

import torch

from bntt.models import vgg6
from bntt.nn import NORMS
from tests.rows import each_row

LOOKS_AHEAD = {"tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both"}
T = 5


def build(norm: str, training: bool):
    net = vgg6(width=0.125, num_steps=T, num_classes=4, image_size=8, norm=norm, seed=2).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if "norm" in name:
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64))
    return net.train(training)


def inputs():
    generator = torch.Generator().manual_seed(6)
    return torch.randint(-1, 2, (T, 4, 1, 8, 8), generator=generator).double().requires_grad_()


@each_row("norm", NORMS)
def test_training_moves_the_running_statistics_and_evaluation_does_not(norm):
    net = build(norm, training=True)
    start = copy.deepcopy(dict(net.named_buffers()))
    net(inputs())
    trained = copy.deepcopy(dict(net.named_buffers()))
    assert all(not torch.equal(start[name], value) for name, value in trained.items())
    net.eval()(inputs())
    assert all(torch.equal(trained[name], value) for name, value in net.named_buffers())


@each_row("norm", NORMS)
def test_only_the_norms_that_say_so_look_ahead(norm):
    """Changing the last step's input changes earlier outputs in training exactly where step() refuses."""
    module, x = NORMS[norm](3, T, 1.0), torch.randn(T, 4, 3, 2, 2, generator=torch.Generator().manual_seed(8))
    changed = x.clone()
    changed[-1] *= 7
    before, after = module(x)[0], module(changed)[0]
    assert torch.equal(before[:-1], after[:-1]) == (norm not in LOOKS_AHEAD)
    assert not torch.equal(before[-1], after[-1])
