"""Where a number stops being finite, it is named."""

import pytest
import torch

from bntt.models import mlp
from bntt.training.session import LossWatch, NonFiniteError, check_finite, check_state
from tests.rows import each_row


@each_row(
    "site",
    ["parameter blocks.fc1.norm.gamma", "buffer blocks.fc1.norm.running_var", "gradient of readout", "the loss alone"],
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
    with pytest.raises(NonFiniteError, match=f"first seen in .*{site}"):
        check_finite(net, loss)


def test_what_is_kept_for_good_is_finite():
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3, 3)).sum().backward()
    optimizer.step()
    check_state(net, optimizer)
    optimizer.state[net.blocks["fc1"].norm.gamma]["exp_avg_sq"][0, 0] = float("inf")
    with pytest.raises(
        NonFiniteError, match=r"exp_avg_sq of blocks.fc1.norm.gamma is not finite after the last update: it is not kept"
    ):
        check_state(net, optimizer)


def test_large_but_finite_numbers_pass():
    """A norm beyond float32 is none of a number's faults."""
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    net.blocks["fc1"].norm.running_var.fill_(1e30)
    net(torch.ones(2, 3, 3)).sum().backward()
    check_finite(net, torch.zeros(()))


def test_a_gradient_too_long_for_its_type_is_refused():
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    net(torch.ones(2, 3, 3)).sum().backward()
    net.readout.synapse.weight.grad.fill_(1e30)
    with pytest.raises(NonFiniteError, match="no single number, the norm is too large"):
        check_finite(net, torch.zeros(()))


def test_the_watch_takes_a_jump_in_at_no_more_than_its_limit():
    watch = LossWatch()
    for step in range(200):
        assert not watch.jumped(2.0 - 0.005 * step + 0.01 * (step % 3))
    before = watch.mean
    assert watch.jumped(100.0)
    assert before < watch.mean < 1.1 * before  # at full height it would be 3.2
    assert not watch.jumped(before)
    assert LossWatch(mean=1.0, variance=0.0, count=49).jumped(9.0) is False
