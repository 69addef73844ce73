"""E1: the SNN-crafted gradient of Sharmin et al. 2020, with its hook where BNTT needs it, is the straight-through one.

Hooked at the first weights' output, summed over time and sent back through them it is equal. Where the paper has it, at
the membrane, the factor γ_t / √(var_t + ε) of every step and channel is left out: without a norm the same, with BNTT
not.
"""

import pytest
import torch
import torch.nn.functional as F

from bntt.analysis.attack.gradient import input_gradient
from bntt.nn import BNTT, NoNorm
from tests.analysis.attack.models import STD, conv_model, some


def hooked(model, images, labels, index, where):
    """``conv_transpose(Σ_t dL/da_t, W₁) / std``: a is what leaves the first weights, or what enters the membrane."""
    seen, block = [], model.network.blocks["conv1"]
    if where == "weights":
        handle = block.synapse.register_forward_hook(lambda module, args, out: seen.append(out.requires_grad_()))
    else:
        handle = block.lif.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    loss = F.cross_entropy(model(images, seed=3, index=index, draw=7), labels, reduction="sum")
    handle.remove()
    (slope,) = torch.autograd.grad(loss, seen[0])
    summed = slope.reshape(4, len(images), *slope.shape[-3:]).sum(0)
    return F.conv_transpose2d(summed, block.synapse.weight, padding=1) / STD


@pytest.mark.parametrize(("norm", "where"), [(BNTT, "weights"), (NoNorm, "weights"), (NoNorm, "membrane")])
def test_it_equals_the_straight_through_gradient(norm, where):
    model, (images, labels, index) = conv_model(norm), some()
    theirs = hooked(model, images, labels, index, where).detach()
    ours = input_gradient(model, images, labels, estimator="straight_through", seed=3, draw=7, index=index).gradient
    assert (theirs - ours).norm() <= 1e-6 * ours.norm()
    assert torch.equal(theirs.sign(), ours.sign())


def test_at_the_membrane_of_bntt_it_is_another():
    model, (images, labels, index) = conv_model(BNTT), some()
    theirs = hooked(model, images, labels, index, "membrane").detach()
    ours = input_gradient(model, images, labels, estimator="straight_through", seed=3, draw=7, index=index).gradient
    assert (theirs.sign() != ours.sign()).double().mean() > 0.02
    scale = (theirs * ours).sum() / theirs.square().sum()
    assert (scale * theirs - ours).norm() > 0.1 * ours.norm()
