"""What is said before training of layers and of steps whose input never varies; and of these once a run is measured."""

from __future__ import annotations

from collections.abc import Iterator

from bntt.analysis import health, surprises, untrained_activity, unvarying
from bntt.analysis.accuracy.result import UnvaryingInput
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


def never_varied(data: Parts, model: SpikingClassifier, measured: PartLoader) -> UnvaryingInput | None:
    """Look at what the measured samples do at such steps; None where there are none, or the data are no sequences."""
    if not isinstance(data.train, SequenceSet) or not (found := _still(data, model.encoder)).which:
        return None
    return surprises(model, found, measured)


def _still(data: Parts, encoder: Encoder) -> Unvarying:
    return unvarying(encoder, SampleLoader(data.train, AT_ONCE))


def _said(found: Unvarying) -> str:
    steps = found.which
    return (
        f"the input of {len(steps):,} of {len(found.steps):,} steps ({spans(steps)}) never varies in the "
        f"{found.samples:,} training samples"
    )
