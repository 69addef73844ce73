"""Every norm of the family inside a network: the two spellings agree, in values, gradients and running statistics."""

import copy

import pytest
import torch
from torch import nn

from bntt.models import vgg6
from bntt.nn import NORMS

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


def gradients(logits: torch.Tensor, net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    found = {name: p.grad for name, p in net.named_parameters()}
    return {**found, "input": x.grad}


def run_steps(net, x):
    state = None
    for t in range(T):
        logits, state = net.advance(x[t : t + 1], state)
    return logits[-1]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_step_form_equals_sequence_form(norm, training):
    """Float64: logits and every gradient to 1e-10 relative, running statistics to 1e-12."""
    if training and norm in LOOKS_AHEAD:
        with pytest.raises(ValueError, match="takes its training statistics over all time steps"):
            run_steps(build(norm, training), inputs())
        return
    sequence, stepped = build(norm, training), build(norm, training)
    x, y = inputs(), inputs()
    all_at_once, one_by_one = sequence(x), run_steps(stepped, y)
    assert torch.allclose(all_at_once, one_by_one, atol=1e-12, rtol=1e-10)
    found, expected = gradients(one_by_one, stepped, y), gradients(all_at_once, sequence, x)
    for name, gradient in expected.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        scale = gradient.abs().max().clamp(min=1e-12)
        assert ((found[name] - gradient).abs().max() / scale) <= 1e-10, name
    for (name, a), b in zip(sequence.named_buffers(), stepped.buffers(), strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=0), name


@pytest.mark.parametrize("norm", NORMS)
def test_training_moves_the_running_statistics_and_evaluation_does_not(norm):
    net = build(norm, training=True)
    start = copy.deepcopy(dict(net.named_buffers()))
    net(inputs())
    trained = copy.deepcopy(dict(net.named_buffers()))
    assert all(not torch.equal(start[name], value) for name, value in trained.items())
    net.eval()(inputs())
    assert all(torch.equal(trained[name], value) for name, value in net.named_buffers())


@pytest.mark.parametrize("norm", NORMS)
def test_only_the_norms_that_say_so_look_ahead(norm):
    """Changing the last step's input changes earlier outputs in training exactly where step() refuses."""
    module, x = NORMS[norm](3, T, 1.0), torch.randn(T, 4, 3, 2, 2, generator=torch.Generator().manual_seed(8))
    changed = x.clone()
    changed[-1] *= 7
    before, after = module(x)[0], module(changed)[0]
    assert torch.equal(before[:-1], after[:-1]) == (norm not in LOOKS_AHEAD)
    assert not torch.equal(before[-1], after[-1])
