"""The paper's optimiser and learning-rate schedule."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn, optim

PAPER_DROPS = (50, 70, 90)
"""The schedule of the paper: percentages of the epochs at which the rate falls to a tenth."""


def sgd(model: nn.Module, *, lr: float = 0.3, momentum: float = 0.9, weight_decay: float = 5e-4) -> optim.SGD:
    """SGD with momentum; weight decay on every parameter, γ too.

    The decay of γ is what makes late steps fall silent, and early exit with them: exempting it, as is customary for
    other batch norms, leaves γ near 1 at every step.

    >>> sgd(nn.Linear(2, 1)).defaults["weight_decay"]
    0.0005
    """
    return optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def drops_reached(epoch: int, epochs: int, drops: Sequence[int] = PAPER_DROPS) -> int:
    """How many drops of the learning rate an epoch (0-based) is past; one drops at epoch ``epochs · percent // 100``.

    Whole numbers throughout: the released code compares ``90 * 0.7 == 62.999...`` with 63 and skips that drop. A drop
    before the first epoch is none; in schedules of a few epochs several drops may fall on one.

    >>> [drops_reached(epoch, 90) for epoch in (44, 45, 63, 81)]
    [0, 1, 2, 3]
    """
    milestones = [epochs * percent // 100 for percent in drops]
    return sum(0 < milestone <= epoch for milestone in milestones)
