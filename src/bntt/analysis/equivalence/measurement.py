"""Equivalence of BNTT to a threshold that varies with time: a network beside its folded forms."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Split


@dataclass(frozen=True)
class EquivalenceArguments:
    """Arguments of the equivalence measurement."""

    split: Split = "validation"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 1000
    """Number of images, each class by its share of the split."""


EQUIVALENCE = Measurement(
    "equivalence",
    """Compare a run's best epoch with four networks whose norms are folded into the neurons (Section 3.3).

    They are the exact fold, the same without the mean, without the ratio in the leak, and without both, which is the
    paper's Eq. 15.

    Says which share of the neurons fires otherwise, by layer, on true spikes and on each network's own, and what that
    does to the accuracy.

    Example: bntt equivalence runs/fashion-mnist --images 500""",
    EquivalenceArguments,
    measure="folding:measure_equivalence",
    refuses=lambda facts, arguments: (
        "there is nothing to fold, its norm holds no statistics" if not facts.norm_facts.running_statistics else ""
    ),
)
