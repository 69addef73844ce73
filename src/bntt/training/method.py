"""Training method as one frozen value: optimiser, rates, decay, loss, clipping, averaging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from bntt.registry import NoneAs, OptionError, check_options

NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

PAPER_DROPS = (50, 70, 90)
"""The schedule of the paper: percentages of the epochs at which the rate falls to a tenth."""


@dataclass(frozen=True)
class Method:
    """Training method; the paper's by default.

    Raises:
        OptionError: naming the field, what it must be, and what came.

    >>> Method(lr=0.1, schedule="cosine", warmup=1, label_smoothing=0.1).gamma_decay
    0.0005
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """PyTorch's SGD with momentum, Adam (decay as part of the gradient), or AdamW (decoupled decay)."""
    lr: NotNegative = 0.3
    """Learning rate: the first one of "step" and "cosine", the highest one of "one-cycle"."""
    momentum: BelowOne = 0.9
    """Momentum of SGD; β₁ of Adam and AdamW."""
    nesterov: bool = False
    """Nesterov's momentum, in SGD: the step is that of the gradient plus momentum times the new velocity (Sutskever et
    al. 2013, as PyTorch writes it)."""
    beta2: BelowOne = 0.999
    """β₂ of Adam and AdamW."""
    amsgrad: bool = False
    """Divide by the largest second moment so far, in Adam and AdamW (Reddi et al. 2018)."""
    weight_decay: NotNegative = 5e-4
    """Decay of synaptic weights and biases."""
    gamma_decay: NotNegative | None = None
    """Decay of γ, and of β and p_t if a norm has them; `weight_decay` by default, as in the released code. It makes
    late steps silent, and so enables early exit. If both are equal in a recipe, `-s train.weight_decay=...` sets
    both; `dataclasses.replace` does not. Learnable leaks never decay: 0 would mean λ = 1/2."""
    schedule: Literal["step", "cosine", "one-cycle", "constant"] = "step"
    """Schedule of the learning rate; "step" is the paper's, which drops at `lr_drops`; "one-cycle" sets the momentum
    too, between 0.85 and 0.95."""
    lr_drops: Sequence[Annotated[int, Field(ge=0, le=100, json_schema_extra={"unit": "percent of epochs"})]] = (
        PAPER_DROPS
    )
    """Percent of the epochs after which the learning rate of "step" drops by `lr_factor`; 50 with 200 epochs is after
    the 100th."""
    lr_factor: Share = 0.1
    """Factor of a drop of "step"."""
    lr_every: Literal["epoch", "step"] = "epoch"
    """Change the learning rate every epoch, or every update; "one-cycle" and a warm-up always change it every
    update."""
    warmup: Annotated[float, Field(ge=0, json_schema_extra={"unit": "epochs"})] = 0.0
    """Epochs, or a fraction of one, in which the learning rate rises linearly, update by update, before the schedule
    begins; "one-cycle" has its own."""
    clip_norm: Annotated[Annotated[float, Field(gt=0)] | None, NoneAs(0.0)] = None
    """Largest norm of the gradients of all trained parameters; larger gradients are scaled down to it."""
    accumulate: Count = 1
    """Number of batches per update; the gradient is that of the mean over all their samples. Each batch is normalised
    by its own statistics, and running statistics take them in one after another."""
    loss: Literal["cross-entropy", "tet"] = "cross-entropy"
    """ "cross-entropy" of the logits after all steps (the paper's Eq. 5), or "tet", that of every step's drive."""
    label_smoothing: BelowOne = 0.0
    """Share of every label that is spread over all classes."""
    tet_share: Share = 0.05
    """λ of "tet": share of the squared distance to `tet_target` in the loss."""
    tet_target: NotNegative = 1.0
    """φ of "tet"; the threshold in the paper."""
    grow: Sequence[Annotated[Sequence[Count], Field(min_length=2, max_length=2)]] = ()
    """Stages [steps, epochs]: the first epochs train only the first steps of the network, the remaining epochs all
    steps. No epoch before that counts as the best."""
    freeze: Sequence[str] = ()
    """Layers that are not trained, by name or pattern ("conv*"): weights, γ and leaks stay; running statistics still
    follow the data. They stay frozen in the network afterwards, until ``network.requires_grad_(True)``."""
    average: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, NoneAs(0.0)] = None
    """Decay of an exponential moving average of weights and running statistics, which is then validated, kept as the
    best, and tested."""

    def __post_init__(self) -> None:
        if self.gamma_decay is None:
            object.__setattr__(self, "gamma_decay", self.weight_decay)
        check_options(self)
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise OptionError(
                "nesterov", f"needs optimizer 'sgd' with a momentum, got {self.optimizer!r}, {self.momentum}"
            )
        if any(one[0] >= other[0] for one, other in pairwise(self.grow)):
            raise OptionError("grow", f"must have ever more steps, got {[list(stage) for stage in self.grow]}")
        if self.schedule == "one-cycle" and self.warmup:
            raise OptionError("warmup", f"must be 0 with schedule 'one-cycle', which has its own, got {self.warmup}")


PAPER = Method()
"""SGD at 0.3 with momentum 0.9, decay 5e-4 on everything, a tenth of the rate after 50, 70 and 90 % of the epochs."""
