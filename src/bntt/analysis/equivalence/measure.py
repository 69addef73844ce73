"""A run beside what it folds to, made into its record."""

from __future__ import annotations

import dataclasses

from bntt.analysis.equivalence.folding import FOLDS, check_sequence, fold_equivalence
from bntt.analysis.equivalence.measurement import EquivalenceArguments
from bntt.analysis.equivalence.result import EquivalenceResult, FoldedNetwork
from bntt.analysis.measurement import ArgumentError, Opened, Progress
from bntt.nn import fold

BATCH = 50
"""Images at a time, of which nine networks have membranes."""


def measure_equivalence(opened: Opened, asked: EquivalenceArguments, progress: Progress) -> EquivalenceResult:
    """Compare the best epoch's network with the four that it folds to, on some images of a split.

    Raises:
        ArgumentError: if the network cannot be folded, or has nothing to fold.
    """
    model = opened.model
    try:
        check_sequence(model.network)
        fold(model.network)
    except ValueError as error:
        raise ArgumentError(f"{opened.path}: {error}") from None
    loader = dataclasses.replace(opened.loader(asked.split, asked.images), batch_size=BATCH)
    progress.expect(len(loader.places))
    found = fold_equivalence(model, loader, seed=opened.seed, progress=progress)
    return EquivalenceResult(
        arguments=asked,
        dataset=opened.dataset,
        split=asked.split,
        epoch=opened.epoch,
        images=found.samples,
        accuracy=found.accuracy,
        firing_rate={layer: row.tolist() for layer, row in found.rate.items()},
        heard_steps={layer: [step + 1 for step in steps] for layer, steps in found.heard.items()},
        folds={
            name: FoldedNetwork(
                keeps_mean=FOLDS[name].mean,
                keeps_ratio=FOLDS[name].ratio,
                accuracy=one.accuracy,
                agreement=one.agreement,
                differing_true_spikes={layer: row.tolist() for layer, row in one.true.items()},
                differing_own_spikes={layer: row.tolist() for layer, row in one.own.items()},
            )
            for name, one in found.folds.items()
        },
    )
