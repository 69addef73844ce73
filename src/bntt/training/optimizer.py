"""The paper's optimiser and learning-rate schedule."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn, optim


def sgd(model: nn.Module, *, lr: float = 0.3, momentum: float = 0.9, weight_decay: float = 5e-4) -> optim.SGD:
    """SGD with momentum; weight decay on every parameter, γ too.

    The decay of γ is what makes late steps fall silent, and early exit with them: exempting it, as is customary for
    other batch norms, leaves γ near 1 at every step.

    >>> sgd(nn.Linear(2, 1)).defaults["weight_decay"]
    0.0005
    """
    return optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def learning_rate(epoch: int, *, lr: float, epochs: int, drops: Sequence[int] = (50, 70, 90)) -> float:
    """The rate of an epoch (0-based): a tenth for every milestone reached; milestones are ``epochs · p // 100``.

    Whole numbers throughout: the released code compares ``90 * 0.7 == 62.999...`` with 63 and skips that drop.

    >>> [learning_rate(epoch, lr=0.3, epochs=90) for epoch in (0, 45)]
    [0.3, 0.03]
    """
    reached: int = sum(epoch >= epochs * percent // 100 for percent in drops)
    return lr / float(10**reached)
