"""Measurements of networks; results are frozen records.

Names resolve on first use, so that reading a measurement's declaration does not import torch.
"""

from bntt.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    __file__,
    {
        "Differences": "bntt.analysis.FoldedNetwork",
        "likeness": "bntt.analysis.step_changes",
        "stretches": "bntt.analysis.threshold_ranges",
    },
)
