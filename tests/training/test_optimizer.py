"""The paper's SGD and its schedule."""

import pytest

from bntt.models import vgg6
from bntt.training import drops_reached, sgd


def test_weight_decay_is_on_every_parameter_gamma_too():
    net = vgg6(num_steps=2)
    (group,) = sgd(net).param_groups
    assert (group["momentum"], group["weight_decay"], group["lr"]) == (0.9, 5e-4, 0.3)
    held = {id(p) for p in group["params"]}
    assert all(id(block.norm.gamma) in held for block in net.blocks.values())
    assert len(held) == len(list(net.parameters()))


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(90, (45, 63, 81)), (120, (60, 84, 108)), (170, (85, 119, 153)), (180, (90, 126, 162))]
)
def test_milestones_are_whole_numbers(epochs, milestones):
    """The released code skips 90 · 0.7 = 62.999...; ours drops at 63."""
    reached = [drops_reached(e, epochs) for e in range(epochs)]
    assert tuple(e for e in range(1, epochs) if reached[e] != reached[e - 1]) == milestones
    assert reached[-1] == 3


@pytest.mark.parametrize(("epochs", "reached"), [(1, [0]), (2, [0, 3]), (3, [0, 1, 3]), (4, [0, 0, 2, 3])])
def test_short_schedules_begin_with_the_first_rate(epochs, reached):
    assert [drops_reached(e, epochs) for e in range(epochs)] == reached
