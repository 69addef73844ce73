"""Equivalence of BNTT to a threshold that varies with time: a network compared with its folded forms (Section 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Opened, Progress, Split, origin
from bntt.analysis.result import Number, OverSteps, Record, Result, Share, Shown, mean_of
from bntt.charts.records import STEPS, Axis, Lines, over_steps
from bntt.charts.section import Cell, Section, Table, gap, share

INPUTS = {"true": "each layer alone, on true spikes", "own": "each network on its own spikes"}
"""Descriptions of the inputs of the layers of a folded network."""
DIFFERING = Axis("neurons that fire differently", percent=True, low=0)
RATE = Axis("neurons that fire", percent=True, low=0)
Layers = Mapping[str, OverSteps]


@dataclass(frozen=True)
class EquivalenceArguments:
    """Arguments of the equivalence measurement."""

    split: Split = "validation"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 1000
    """Number of images, stratified by class; fewer if the recipe's evaluate.images is smaller."""


class FoldedNetwork(Record):
    """One folded network, compared with the network that it was folded from.

    Returned by :func:`bntt.analysis.equivalence.folding.fold_equivalence`, in ``Equivalence.folds``.
    """

    keeps_mean: bool
    """True if the fold keeps μ̄ (Eq. 12 drops it)."""
    keeps_ratio: bool
    """True if the fold keeps a_{t-1} / a_t in the leak (Eq. 13 drops it)."""
    accuracy: Annotated[Share, Shown(form=".1%")]
    """Accuracy on its own spikes."""
    agreement: Annotated[Share, Shown("same answers", form=".1%")]
    """Share of samples in which it gives the network's answer."""
    differing_true_spikes: Layers
    """For each layer and step, the share of neurons that fire in only one of the two networks; every layer alone, on
    the spikes of the original network's previous layer."""
    differing_own_spikes: Layers
    """The same; every layer on the spikes of the folded network's previous layer."""


class Equivalence(Record):
    """A network compared with the networks without norms into which it folds.

    Returned by :func:`bntt.analysis.equivalence.folding.fold_equivalence`.
    """

    images: int
    """Number of samples compared."""
    accuracy: Annotated[Share, Shown("accuracy of the network itself", form=".1%", metric="full-accuracy")]
    """Accuracy of the network itself."""
    firing_rate: Layers
    """Its spikes per neuron, for each layer and step: the scale for judging the differences."""
    heard_steps: Mapping[str, Sequence[int]]
    """The steps, from 1, in which a layer should fire and its spikes reach the readout; means use only these."""
    folds: Mapping[str, FoldedNetwork]
    """The folded networks by name, see :data:`bntt.analysis.equivalence.folding.FOLDS`."""


class EquivalenceResult(Equivalence, Result):
    """The equivalence of one run's network."""

    computed = (
        (Shown("accuracy by Eq. 15", form=".1%", metric="eq15-accuracy"), "of_fold", "Eq. 15", "accuracy"),
        (Shown("same answers by Eq. 15", form=".1%", metric="eq15-agreement"), "of_fold", "Eq. 15", "agreement"),
        (Shown("same answers, exact fold", form=".1%", metric="exact-agreement"), "of_fold", "exact", "agreement"),
    )
    arguments: EquivalenceArguments | None = None

    def rows(self) -> list[dict[str, object]]:
        return [
            {"network": name, "layer": layer, "step": t, "heard": int(t in self.heard_steps[layer]),
             "firing_rate": rate, "differing_true_spikes": fold.differing_true_spikes[layer][t - 1],
             "differing_own_spikes": fold.differing_own_spikes[layer][t - 1], "accuracy": fold.accuracy}
            for name, fold in self.folds.items()
            for layer, rates in self.firing_rate.items()
            for t, rate in enumerate(rates, 1)
        ]  # fmt: skip

    def section(self) -> Section:
        kept = {True: Cell("kept"), False: Cell("left out")}
        itself = (Cell("not folded"), share(self.accuracy), gap("itself"), gap("itself"), gap("itself"))
        folds = [
            (Cell(name), share(fold.accuracy), share(fold.agreement), kept[fold.keeps_mean], kept[fold.keeps_ratio])
            for name, fold in self.folds.items()
        ]
        columns = ("fold", "accuracy", "same answers", "mean", "ratio of deviations")
        rate = Lines("Firing rate of the network itself", STEPS, RATE, over_steps(self._heard(self.firing_rate)))
        return Section(
            "Equivalence of folded networks",
            words=(
                "Section 3.3 of the paper reads BNTT as a threshold that varies with time. The network is compared "
                "with networks without norms, whose leak, threshold and bias contain the normalisation.",
            ),
            tables=(
                Table(f"Folded networks: {self.images:,} {self.split} images, one start", columns, (itself, *folds)),
                *(self._by_layer(fed) for fed in INPUTS),
            ),
            charts=(*(self._over_steps(fed) for fed in INPUTS), rate),
        )

    def _differing(self, fold: FoldedNetwork, fed: str) -> dict[str, list[Number]]:
        return self._heard(getattr(fold, f"differing_{fed}_spikes"))

    def _heard(self, layers: Layers) -> dict[str, list[Number]]:
        """Return the values of the steps that count, None elsewhere."""
        return {
            name: [value if t in self.heard_steps[name] else None for t, value in enumerate(row, 1)]
            for name, row in layers.items()
        }

    def _by_layer(self, fed: str) -> Table:
        each = [self._differing(fold, fed) for fold in self.folds.values()]
        rows = [
            (Cell(layer), *(share(mean_of(rows[layer]), 2) for rows in each), share(mean_of(rate)))
            for layer, rate in self._heard(self.firing_rate).items()
        ]
        caption = f"Neurons that fire differently, mean over steps: {INPUTS[fed]}"
        return Table(caption, ("layer", *self.folds, "firing rate"), tuple(rows))

    def _over_steps(self, fed: str) -> Lines:
        rows = {
            name: [mean_of(step) for step in zip(*self._differing(fold, fed).values(), strict=True)]
            for name, fold in self.folds.items()
        }
        title, note = f"Spikes that differ, on {fed} spikes", f"{INPUTS[fed]}; mean over layers"
        return Lines(title, STEPS, DIFFERING, over_steps(rows, methods=True), note=note)

    def of_fold(self, name: str, key: str) -> Number:
        return getattr(self.folds[name], key) if name in self.folds else None


def measure_equivalence(opened: Opened, arguments: EquivalenceArguments, progress: Progress) -> EquivalenceResult:
    """Compare the best epoch's network with its four folded forms, on some images of a split."""
    from bntt.analysis.equivalence.folding import BATCH, fold_equivalence

    loader = dataclasses.replace(opened.loader(arguments.split, arguments.images), batch_size=BATCH)
    progress.expect(len(loader.places))
    found = fold_equivalence(opened.model, loader, seed=opened.seed, progress=progress)
    return EquivalenceResult(**origin(opened, arguments), **dict(found))


EQUIVALENCE = Measurement(
    "equivalence",
    """Compare a run's best epoch with four networks whose norms are folded into the neurons (Section 3.3).

    The four: the exact fold; without the mean; without the ratio in the leak; without both, the paper's Eq. 15.

    Prints the share of neurons that fire differently, by layer, on true spikes and on each network's own, and the
    accuracies.""",
    EquivalenceArguments,
    EquivalenceResult,
    measure_equivalence,
    refuses=lambda facts, arguments: (
        "there is nothing to fold, its norm holds no statistics" if not facts.norm_facts.running_statistics else ""
    ),
)
