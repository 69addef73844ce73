"""Equivalence of BNTT to a threshold that varies with time: a network compared with its folded forms."""

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
    """Number of images, stratified by class; fewer if the recipe's evaluate.images is smaller."""


EQUIVALENCE = Measurement(
    "equivalence",
    """Compare a run's best epoch with four networks whose norms are folded into the neurons (Section 3.3).

    The four: the exact fold; without the mean; without the ratio in the leak; without both, the paper's Eq. 15.

    Prints the share of neurons that fire differently, by layer, on true spikes and on each network's own, and the
    accuracies.

    Example: bntt equivalence runs/fashion-mnist --images 500""",
    EquivalenceArguments,
    measure="folding:measure_equivalence",
    refuses=lambda facts, arguments: (
        "there is nothing to fold, its norm holds no statistics" if not facts.norm_facts.running_statistics else ""
    ),
)
