"""Where a number stops being finite, it is named."""

import pytest
import torch

from bntt.models import mlp
from bntt.training.guard import NonFiniteError, check_finite


@pytest.mark.parametrize(
    "site", ["parameter blocks.fc1.norm.gamma", "buffer blocks.fc1.norm.running_var", "gradient of readout", "loss"]
)
def test_the_site_is_named(site):
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    loss = net(torch.ones(2, 3, 3)).sum()
    loss.backward()
    bad = float("nan")
    loss = loss.detach()
    if site.startswith("parameter"):
        net.blocks["fc1"].norm.gamma.data[0, 0] = bad
        net.blocks["fc1"].norm.gamma.grad[0, 0] = bad
    elif site.startswith("buffer"):
        net.blocks["fc1"].norm.running_var[0, 0] = bad
        loss = loss * bad
    elif site.startswith("gradient"):
        net.readout.synapse.weight.grad[0, 0] = float("inf")
    else:
        loss = loss * bad
    with pytest.raises(NonFiniteError, match=site):
        check_finite(net, loss)


def test_finite_numbers_pass():
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    loss = net(torch.ones(2, 3, 3)).sum()
    loss.backward()
    check_finite(net, loss.detach())
