"""How a network is trained, in one frozen value: optimiser, rates, decay, loss, clipping, averaging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["step", "cosine", "one-cycle", "constant"]
Every = Literal["epoch", "step"]
Loss = Literal["cross-entropy", "tet"]

PAPER_DROPS = (50, 70, 90)
"""The schedule of the paper: percentages of the epochs at which the rate falls to a tenth."""


@dataclass(frozen=True)
class Method:
    """How to train; the paper's method by default.

    Raises:
        ValueError: naming the field, what it must be, and what came.

    >>> Method(lr=0.1, schedule="cosine", warmup=1, label_smoothing=0.1).gamma_decay
    0.0005
    """

    optimizer: OptimizerName = "sgd"
    """PyTorch's SGD with momentum, Adam (its decay is part of the gradient), or AdamW (its decay is none)."""
    lr: float = 0.3
    """The rate: the first of "step" and "cosine", the highest of "one-cycle"."""
    momentum: float = 0.9
    """Of SGD; β₁ of Adam and AdamW."""
    beta2: float = 0.999
    """β₂ of Adam and AdamW."""
    amsgrad: bool = False
    """Adam and AdamW divide by the largest second moment so far (Reddi et al. 2018)."""
    weight_decay: float = 5e-4
    """On synaptic weights and biases."""
    gamma_decay: float | None = None
    """On γ, and on β and p_t where a norm has them; as ``weight_decay`` when left out, as in the paper. It is what
    makes late steps fall silent, and early exit with them. Learnable leaks never decay: 0 would mean λ = 1/2."""
    schedule: Schedule = "step"
    """See :mod:`bntt.training.schedule`."""
    lr_drops: Sequence[int] = PAPER_DROPS
    """"step": percentages of the epochs at which the rate falls."""
    lr_factor: float = 0.1
    """"step": by which factor."""
    lr_every: Every = "epoch"
    """Whether rates change with every epoch, or with every update; "one-cycle" and a warm-up always do with every
    update."""
    warmup: float = 0.0
    """Epochs, also a part of one, in which the rate rises in a straight line, update by update whatever ``lr_every``
    says, before the schedule begins; "one-cycle" has its own."""
    clip_norm: float = 0.0
    """The largest norm of the gradients of all that is stepped, longer ones are shortened to it; 0: as they are."""
    accumulate: int = 1
    """Batches to an update, whose gradient is that of the mean over all of their samples. Each batch is normalised by
    statistics of its own, and running statistics take them in one after another."""
    loss: Loss = "cross-entropy"
    """Of the logits after all steps (the paper's Eq. 5), or "tet", of every step's drive."""
    label_smoothing: float = 0.0
    """Share of every label that is spread over all classes."""
    tet_share: float = 0.05
    """λ of "tet": share of the squared distance to ``tet_target`` in the loss."""
    tet_target: float = 1.0
    """φ of "tet"; the threshold in the paper."""
    grow: Sequence[tuple[int, int]] = ()
    """``(steps, epochs)``, in order: so many epochs take the first few of the network's steps alone, and the rest
    of the epochs all; see :mod:`bntt.training.grow`."""
    average: float = 0.0
    """Decay of an exponential moving average of weights and running statistics; 0: there is none. Where there is one,
    the average is what validates, what is the best, and what is tested."""

    def __post_init__(self) -> None:
        if self.gamma_decay is None:
            object.__setattr__(self, "gamma_decay", self.weight_decay)
        object.__setattr__(self, "lr_drops", tuple(self.lr_drops))
        object.__setattr__(self, "grow", tuple(tuple(stage) for stage in self.grow))
        words: dict[str, Any] = {
            "optimizer": OptimizerName,
            "schedule": Schedule,
            "lr_every": Every,
            "loss": Loss,
        }
        for name, known in words.items():
            if (value := getattr(self, name)) not in get_args(known):
                raise ValueError(f"{name} must be one of {', '.join(get_args(known))}, got {value!r}")
        for name in ("lr", "weight_decay", "gamma_decay", "warmup", "clip_norm", "tet_target"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be a finite number, 0 or more, got {value!r}")
        for name in ("momentum", "beta2", "label_smoothing", "average"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {value!r}")
        for name in ("lr_factor", "tet_share"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {value!r}")
        if any(len(stage) != 2 or min(stage) < 1 for stage in self.grow) or any(
            one[0] >= other[0] for one, other in pairwise(self.grow)
        ):
            raise ValueError(
                f"grow must be pairs [steps, epochs] of numbers from 1 on, with ever more steps, got "
                f"{[list(stage) for stage in self.grow]}"
            )
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be 1 or more, got {self.accumulate}")
        if any(not 0 <= percent <= 100 for percent in self.lr_drops):
            raise ValueError(f"lr_drops must be percentages from 0 to 100, got {list(self.lr_drops)}")
        if self.schedule == "one-cycle" and self.warmup:
            raise ValueError("warmup must be 0 with schedule 'one-cycle', which has its own")


PAPER = Method()
"""SGD at 0.3 with momentum 0.9, decay 5e-4 on everything, a tenth of the rate after 50, 70 and 90 % of the epochs."""
