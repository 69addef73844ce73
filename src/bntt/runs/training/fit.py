"""Training in one call, for networks built in Python: train, validate and keep the best epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import optim

from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.io.checkpoint import load_checkpoint, read_checkpoint
from bntt.io.lock import hold_run
from bntt.nn import SpikingClassifier
from bntt.nn.network.classifier import check_answers, check_classifier
from bntt.nn.network.labelled_batch import Loader
from bntt.runs.directory import RunDirectory, open_or_create_run
from bntt.runs.from_python import describe_session, save_samples
from bntt.runs.training.curves import save_curves
from bntt.runs.training.epoch_log import EpochResult, Notice, TrainingRecord, describe_jump, epoch_result
from bntt.runs.training.start import resumes_in, rounding_of
from bntt.runs.training.train import TrainingRun
from bntt.training import EpochRecord, Method, Session, StepRecord
from bntt.training.objective import Loss
from bntt.training.processes import Processes, check_share
from bntt.training.session import check_state

Record = TrainingRecord | EpochRecord
"""An update, an epoch of training, the same epoch with its validation, or a notice."""


class History(list[Record]):
    """Records of a training, in order; returned by :func:`fit`.

    Every epoch has one ``StepRecord`` per update, an ``EpochRecord`` as from :func:`bntt.training.updates`, and an
    :class:`EpochResult` with validation accuracy and loss, mean |γ| and firing rates. Epochs trained by an earlier
    process in the same directory have only the ``EpochResult``.

    Args:
        iterable: the records.
    """

    @property
    def epochs(self) -> list[EpochResult]:
        """Results of every epoch, with its validation."""
        return [record for record in self if isinstance(record, EpochResult)]

    @property
    def best(self) -> EpochResult:
        """The epoch whose weights the model has: the one that validated best, or the last one without validation."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.best), self.epochs[-1])

    def __repr__(self) -> str:
        count, best = len(self.epochs), self.best
        held = "" if best.validation_accuracy is None else f", validation {best.validation_accuracy:.1%}"
        return (
            f"History({count} epoch{'s' * (count != 1)}, best {best.epoch + 1}: train {best.train_accuracy:.1%}{held})"
        )


def fit(
    model: SpikingClassifier,
    train: Loader,
    *,
    epochs: int,
    validation: Loader | None = None,
    test: Loader | None = None,
    directory: str | Path | None = None,
    method: Method | None = None,
    seed: int = 0,
    optimizer: optim.Optimizer | None = None,
    loss: Loss | None = None,
    quiet: bool = False,
) -> History:
    """Train a model to the end, validate after every epoch, and keep the best epoch.

    The model ends in evaluation mode, with the weights of the epoch that validated best, or of the last one without
    ``validation``, as do parameters that your optimizer updates outside it. If the method averages weights, the model
    has the averaged ones. A line for each epoch and warnings go to standard error, and on a terminal a progress bar.
    :func:`bntt.training.updates` is a loop over single updates, without evaluation or files.

    Args:
        model: trained in place.
        train: a ``bntt.data.SampleLoader`` (its sample indices and ``draw = epoch`` fix the noise), or any iterable of
            ``(inputs, labels)`` such as a torch ``DataLoader``, whose samples are numbered in the order they come in.
        epochs: number of epochs in the whole schedule.
        validation: a loader of held-out samples; iterated after every epoch.
        test: a loader of samples that training never sees, for verbs that measure the directory. Without it they
            measure the validation samples, and refuse to choose and test on the same ones, as an exit would.
        directory: a run directory like those of ``bntt train``: training starts there, or resumes from the last
            checkpoint, bit for bit. It keeps checkpoints, metrics and the samples of ``validation`` and ``test``; every
            loader must be a ``SampleLoader`` of images, frames or sequences.
        method: training method, a :class:`~bntt.training.Method`; the paper's SGD, learning rate 0.3, by default.
        seed: seed of the encoder's noise.
        optimizer: your own, instead of the method's, see :func:`bntt.training.updates`. A resumed training continues
            with the learning rates and decays of its checkpoint.
        loss: your own, see :class:`~bntt.training.Session`. Of accumulated batches, each mean counts by its number of
            samples. Validation reports the cross entropy.
        quiet: leave out the lines of the epochs.

    Returns:
        The sequence of training records.

    Raises:
        TypeError: if an argument or a batch has a wrong type, or, with a directory, a loader is none that it can keep.
        NonFiniteError: on anything that is not finite, before weights or running statistics are touched.
        ValueError: as :class:`~bntt.training.Session`; on a label outside the classes, a loader without batches,
            ``test`` without a directory, or, with one, validation or test samples of another size or other classes.
        CheckpointError: if the directory holds a run of another network, method or data, or weights without a
            checkpoint to resume from.
        ArgumentError: if the directory is a file, or lies below one.
        RunLockedError: if another process trains in the directory.

    >>> import bntt, torch
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> data = bntt.data.fashion_mnist_bundled().test
    >>> train, held_out = (bntt.data.SampleLoader(data.select(torch.arange(500) + n), 250) for n in (0, 500))
    >>> history = fit(model, train, epochs=1, validation=held_out)
    >>> [type(record).__name__ for record in history]
    ['StepRecord', 'StepRecord', 'EpochRecord', 'EpochResult']
    >>> 0 < history.epochs[0].validation_loss < 10
    True
    """
    if test is not None and directory is None:
        raise ValueError("test= are samples that a directory keeps for its verbs: give directory=, or leave out test=")
    check_classifier(model, "fit and Session train")
    if validation is not None or test is not None:
        check_answers(model, "validation and test take")
    check_share(validation, Processes())
    check_share(test, Processes())
    learn = [one for one in model.parameters() if one.requires_grad]
    session = Session(model, train, epochs=epochs, method=method, seed=seed, optimizer=optimizer, loss=loss)
    if directory is None:
        records = _train_in_memory(session, validation)
    else:
        records = _train_in_directory(Path(directory), session, validation, test)
    try:
        history = History(_show_progress(records, epochs, quiet=quiet))
    except Exception:  # whatever it is, it is raised again: a training that never began leaves no layer frozen
        for one in () if session.position.updates else learn:
            one.requires_grad_(True)
        raise
    model.eval()
    return history


def _train_in_memory(session: Session, validation: Loader | None) -> Iterator[TrainingRecord]:
    """Yield the records of a training in memory; at the end the model has the best weights."""
    began, best = time.monotonic(), None
    kept = session.weights()  # the tensors themselves: without validation, the last update's
    for record in session.records():
        if isinstance(record, StepRecord):
            yield record
            if record.jumped:
                yield Notice(describe_jump(record))
            continue
        check_state(session.model, session.optimizer)
        found = None
        if validation is not None:
            found = evaluate(session.measured, validation, seed=session.seed, draws=1, steps=session.steps)
        result = epoch_result(record, session, found, best, time.monotonic() - began)
        if result.best:
            best = result.validation_accuracy
            kept = {name: value.clone() for name, value in session.weights().items()}
        yield result
    session.restore(kept)


def _train_in_directory(
    directory: Path, session: Session, validation: Loader | None, test: Loader | None
) -> Iterator[TrainingRecord]:
    """Yield the records of a training in a run directory; if it is resumed, those of earlier epochs first."""
    network = session.model.network
    networks = [network] if session.average is None else [network, session.average.network]
    chosen = network.compute
    if (begun := RunDirectory(directory)).checkpoints.paths():  # a resumed run rounds as it began
        network.compute = replace(chosen, **rounding_of(begun))
    elif chosen.events == "measured":  # chosen by timing, which no resumed run could repeat
        network.compute = replace(chosen, events="fixed")
    try:
        recipe, data, facts = describe_session(session, validation, test)
        sample = session.model.encoder(data.train.batch(torch.tensor([0])).to(_device(session)), steps=range(1))
        shape = recipe.network.num_steps, recipe.train.batch_size, *sample.shape[2:]
        settled = network.settled_compute(shape)
        for one in networks:
            one.compute = settled
        run = open_or_create_run(directory.name, directory.parent)
        with hold_run(run.path):
            run.checkpoints.tidy()
            resume = resumes_in(run, recipe)
            held_out = cast(SampleLoader | None, validation)
            training = TrainingRun(session, held_out, recipe, data, run, _device(session), facts)
            notices = list(training.resume_or_start(resume=resume))
            save_samples(run.path, data)
            yield from (EpochResult(**row) for row in training.rows)
            yield from notices
            yield from training.train()
            load_checkpoint(run.best, session.model)  # refuses those of another model
            session.restore(read_checkpoint(run.best).tensors)
            save_curves(run.rows(), f"{run.path.name}: {data.label}", run.path)
    finally:
        for one in networks:
            one.compute = chosen


def _device(session: Session) -> str:
    return str(next(session.model.parameters()).device)


def _show_progress(records: Iterator[TrainingRecord], epochs: int, *, quiet: bool) -> Iterator[Record]:
    """Yield records as they come, with epoch records as in :func:`bntt.training.updates`; draw a progress bar."""
    screen, seen = Console(stderr=True, highlight=False, markup=False, emoji=False), 0
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("training", total=None)
        samples: int | None = None
        for record in records:
            if isinstance(record, StepRecord):
                seen = record.seen
                done = record.epoch + (seen / samples if samples else 0)
                what = f"epoch {record.epoch + 1}/{epochs}, update {record.step + 1}, loss {record.loss:.3f}"
                bar.update(task, description=what, completed=done, total=epochs if samples else None)
            elif isinstance(record, Notice):
                screen.print(record.text, soft_wrap=True)
            elif isinstance(record, EpochResult):
                if not quiet:
                    screen.print(f"epoch {record.epoch + 1}/{epochs}  {record}", soft_wrap=True)
                samples = seen or samples
                if seen:
                    yield EpochRecord(record.epoch, record.train_loss, record.train_accuracy, seen, record.lr)
            yield record
