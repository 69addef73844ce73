"""What is said before training of layers and of steps whose input never varies; and of these once a run is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bntt.analysis import Surprises, health, surprises, untrained_activity, unvarying
from bntt.analysis.activity.constant_input import Unvarying
from bntt.analysis.activity.health import spans
from bntt.data import PartLoader, SampleLoader, SequenceSet
from bntt.nn import Encoder, SpikingClassifier
from bntt.runs.recipe.datasets import Parts
from bntt.runs.training.epoch_log import Notice
from bntt.runs.training.shared import whole_activity
from bntt.training.session import Session

AT_ONCE = 1000
"""Samples that are looked at together."""


def before_training(data: Parts, session: Session, training: SampleLoader) -> Iterator[Notice]:
    """What is wrong before the first update: such steps of sequences, and layers, with one batch of the training."""
    model, processes = session.model, session.processes
    if isinstance(data.train, SequenceSet) and (found := _still(data, model.encoder)).which:
        yield Notice(f"warning, before training: {_said(found)}: what would differ there is not learned")
    batch = next(training.epoch(0))
    activity = untrained_activity(model, batch.inputs, index=batch.indices, seed=session.seed)
    for fault in health(whole_activity(activity, processes), model.network):
        yield Notice(f"warning, before training: {fault.text}")


@dataclass(frozen=True)
class NeverVaried:
    """Such steps of a trained run, and what the measured samples do there."""

    still: Unvarying
    met: Surprises

    @property
    def text(self) -> str:
        """In one line."""
        met, first = self.met, self.met.first
        if first is None:
            return f"{_said(self.still)}, nor in the {met.samples:,} that were measured"
        gain = "" if first.gain is None else f", a gain of up to {first.gain:.3g}"
        (current, usual), (spikes, without), (answer, other) = first.current, first.spikes, first.answer
        return (
            f"{_said(self.still)}; {met.differ:,} of the {met.samples:,} measured differ there. The first, sample "
            f"{first.index} at t={first.step}: the first layer's largest current is {current:.3g} in place of "
            f"{usual:.3g}{gain}; {spikes:,.0f} spikes in all in place of {without:,.0f}; "
            + ("the class stays" if answer == other else f"class {answer} in place of {other}")
        )

    def as_json(self) -> dict[str, object]:
        """The numbers with their names."""
        return {"steps": self.still.which, "training_samples": self.still.samples, **asdict(self.met)}


def never_varied(data: Parts, model: SpikingClassifier, measured: PartLoader) -> NeverVaried | None:
    """Of a run of sequences with such steps; None of any other."""
    if not isinstance(data.train, SequenceSet) or not (found := _still(data, model.encoder)).which:
        return None
    return NeverVaried(found, surprises(model, found, measured))


def _still(data: Parts, encoder: Encoder) -> Unvarying:
    return unvarying(encoder, SampleLoader(data.train, AT_ONCE))


def _said(found: Unvarying) -> str:
    steps = found.which
    return (
        f"the input of {len(steps):,} of {len(found.steps):,} steps ({spans(steps)}) never varies in the "
        f"{found.samples:,} training samples"
    )
