"""The training loop (paper Algorithm 2) as a session that can be saved between updates, guarded against NaN."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn, optim

from bntt.io.checkpoint import CheckpointError, misfits
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, Samples, samples
from bntt.nn.norms import HeldStatistics, TemporalNorm, batch_statistics, hold_statistics
from bntt.nn.tensor_checks import NonFiniteError as NonFiniteError
from bntt.nn.tensor_checks import first_non_finite
from bntt.training.method import PAPER, Method
from bntt.training.objective import BatchLoss, Loss, check_objective, name_of
from bntt.training.optimizer import check_given, freeze, optimizer_of, optimizer_state, others, restored_state, stepped
from bntt.training.processes import Processes, check_share
from bntt.training.schedule import Rates, batches_of, check_stages, hold_from, moving_average, steps_in, updates_of

Named = tuple[str, Tensor]


def check_finite(model: nn.Module, loss: Tensor, optimizer: optim.Optimizer, held: HeldStatistics) -> Tensor:
    """Return the norm of the gradients that are stepped; raise at the first place where anything is not finite."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    gradients = [
        (f"the gradient of {names.get(one, 'a parameter')}", one.grad)  # type: ignore[call-overload]
        for one in stepped(optimizer)
        if one.grad is not None
    ]
    others = list(_read(model, optimizer, held))
    norm = _norm(gradients)
    if bool(torch.isfinite(loss) & torch.isfinite(norm) & torch.isfinite(_norm(others))):
        return norm
    site = first_non_finite([*others, *gradients])  # causes first
    if site is None and bool(torch.isfinite(loss)):
        if bool(torch.isfinite(norm)):
            return norm  # all numbers are finite, but their norm overflows
        site = "no single number, the norm is too large"
    raise NonFiniteError(
        f"the loss is {float(loss):.4g} and the gradient norm {float(norm):.4g}; first seen in "
        f"{site or 'the loss alone'}. The update was skipped; lower the learning rate or check the data"
    )


def check_state(model: nn.Module, optimizer: optim.Optimizer | None = None) -> None:
    """Raise unless weights, statistics and momentum are finite, before they are saved."""
    site = first_non_finite(_read(model, optimizer))
    if site is not None:
        raise NonFiniteError(
            f"{site} is not finite after the last update: it is not kept; train again with a lower learning rate"
        )


def _norm(values: Sequence[Named]) -> Tensor:
    return torch.nn.utils.get_total_norm([value for _, value in values]) if values else torch.zeros(())


def _read(model: nn.Module, optimizer: optim.Optimizer | None, held: HeldStatistics | None = None) -> Iterator[Named]:
    """Yield the tensors an update reads besides loss and gradients."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    yield from ((f"parameter {name}", parameter.detach()) for parameter, name in names.items())
    yield from ((f"buffer {name}", value) for name, value in model.named_buffers() if value.is_floating_point())
    if optimizer is not None:
        yield from (("a parameter outside", one.detach()) for one in stepped(optimizer) if one not in names)
    for parameter, state in optimizer.state.items() if optimizer is not None else ():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                yield f"{key} of {names.get(parameter, 'a parameter')}", value
    for label, moments in held.moments if held is not None else ():
        yield f"the batch mean of {label}", moments.mean
        yield f"the batch variance of {label}", moments.var
    for (part, name), value in held.moved.items() if held is not None else ():
        if value.is_floating_point():
            yield f"the buffer {name} of {type(part).__name__}", value


@dataclass
class LossWatch:
    """Detector of a loss more than eight deviations, and half, above its mean of about fifty updates, jumps clipped."""

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0

    def jumped(self, loss: float) -> bool:
        """Return True if the loss of this update is a jump; update the averages with it."""
        limit = max(8 * math.sqrt(self.variance), 0.5 * abs(self.mean))
        jump = self.count >= 50 and loss - self.mean > limit
        share = max(0.02, 1 / (self.count + 1))
        change = min(loss - self.mean, limit) if jump else loss - self.mean
        self.variance = (1 - share) * (self.variance + share * change * change)
        self.mean, self.count = self.mean + share * change, self.count + 1
        return jump


@dataclass(frozen=True)
class StepRecord:
    """Record of one update; returned by :func:`bntt.training.updates`."""

    epoch: int
    """Epoch, 0-based."""
    step: int
    """Update within the epoch, 0-based."""
    loss: float
    """Mean loss of the batch, before the update."""
    correct: int
    """Number of samples of the batch classified correctly."""
    samples: int
    """Number of samples in the batch."""
    lr: float
    """Learning rate of the optimiser's first group in this update."""
    seen: int
    """Number of samples of this epoch so far, this batch included."""
    jumped: tuple[int, ...] = ()
    """Dataset indices of the samples if the loss jumped (see :class:`~bntt.training.session.LossWatch`)."""


@dataclass(frozen=True)
class EpochRecord:
    """Record of one whole epoch; returned by :func:`bntt.training.updates`."""

    epoch: int
    """Epoch, 0-based."""
    loss: float
    """Mean over the epoch's samples, each taken before its update."""
    accuracy: float
    """Fraction of the epoch's samples classified correctly, each before its update."""
    samples: int
    """Number of samples in the whole epoch, over all processes."""
    lr: float
    """Learning rate of the optimiser's first group when the epoch began."""


@dataclass
class Position:
    """Progress of a training, and the running sums of its epoch."""

    epoch: int = 0
    step: int = 0
    """Updates done in this epoch."""
    batches: int = 0
    """Batches taken in this epoch."""
    updates: int = 0
    """Updates done in all."""
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    lr: float = 0.0
    """Learning rate when the epoch began."""
    watch: LossWatch = field(default_factory=LossWatch)


class Session:
    """Train a model on a loader's samples, as an object that can be saved between two updates.

    Args:
        model, loader, epochs, seed: as :func:`~bntt.training.updates`'s.
        method: the paper's by default. With your own optimiser its ``optimizer``, ``lr`` and decays are not used, and
            its schedule begins at your groups' rates; "constant" without a warm-up, or no method, leaves them to you.
        optimizer: yours, instead of the method's. Only parameters that it steps count in the gradient norm.
        loss: yours, instead of the method's: it takes the logits ``[B, K]`` after all steps and the labels, and returns
            a mean over the samples. Or a :class:`~bntt.training.Distillation`, which counts beside the method's loss.
        processes: those that train together, of :func:`~bntt.training.processes.joined_processes`; the loader gives
            each its part of every batch, ``SampleLoader(share=(rank, count))``. All have the same weights and records.

    Attributes:
        position: its progress. made_by: the method that made the optimizer; None if you gave it. loss: yours, if any.

    Raises:
        TypeError: if the model is not a classifier, or method, optimizer or loss has a wrong type.
        ValueError: on fewer epochs than one, a schedule by updates over a loader of unknown length, a loss of your own
            next to the method's or with parameters to learn, stages of fewer steps that leave no epoch for all steps,
            or a loader that is not for these processes.

    >>> import bntt
    >>> def begin():
    ...     net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    ...     model = bntt.SpikingClassifier(bntt.PoissonEncoder(2), net)
    ...     loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=250, shuffle=True)
    ...     return Session(model, loader, epochs=1)
    >>> first, second = begin(), begin()
    >>> _ = next(first.records())
    >>> second.load(*first.state())  # write_checkpoint and read_checkpoint keep it in a file
    >>> list(first.records()) == list(second.records())
    True
    """

    def __init__(
        self,
        model: SpikingClassifier,
        loader: Loader,
        *,
        epochs: int,
        method: Method | None = None,
        seed: int = 0,
        optimizer: optim.Optimizer | None = None,
        loss: Loss | None = None,
        processes: Processes | None = None,
    ) -> None:
        check_given(model, method, optimizer)
        if epochs != int(epochs) or epochs < 1:
            raise ValueError(f"epochs must be 1 or more, a whole number, got {epochs}")
        self.processes = processes or Processes()
        check_share(loader, self.processes)
        self.method = method or PAPER
        check_stages(self.method.grow, epochs, model.encoder.num_steps)
        check_objective(model.network, self.method, loss)
        self.model, self.loader, self.epochs, self.seed, self.loss = model, loader, int(epochs), seed, loss
        untouched = self.method.schedule == "constant" and self.method.warmup == 0
        scheduled = optimizer is None or (method is not None and not untouched)
        self.rates = Rates(self.method, epochs, updates_of(self.method, loader)) if scheduled else None
        self.optimizer = optimizer_of(model, self.method) if optimizer is None else optimizer
        if self.method.grow:
            hold_from(model, model.encoder.num_steps, self.optimizer)  # copies nothing, and refuses what it could not
        if self.rates is not None:
            for group in self.optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        freeze(model.network, self.method.freeze, self.optimizer)
        self.made_by = self.method if optimizer is None else None
        self.position = Position()
        self._average = None if self.method.average is None else moving_average(model, self.method.average)
        if self.processes.reduce is not None:  # after the average, which one process evaluates alone
            model.network.compute = replace(model.network.compute, reduce=self.processes.reduce)
        batch_loss = BatchLoss(model, self.method, seed, loss)
        self._batch_loss = self.processes.wrap_ddp(batch_loss, all_learn=batch_loss.all_learn)

    @property
    def average(self) -> SpikingClassifier | None:
        """The moving average of the model, also a classifier; None if the method has none."""
        return None if self._average is None else cast(SpikingClassifier, self._average.module)

    @property
    def measured(self) -> SpikingClassifier:
        """Model to validate: the average if there is one, else the model itself."""
        return self.model if self.average is None else self.average

    @property
    def steps(self) -> int:
        """Number of the network's steps that the current epoch takes."""
        return steps_in(self.method.grow, self.position.epoch, self.model.encoder.num_steps)

    @property
    def grown(self) -> bool:
        """True if the current epoch takes all steps; before that, later steps are not trained."""
        return self.steps == self.model.encoder.num_steps

    def records(self) -> Iterator[StepRecord | EpochRecord]:
        """Train from the position, lazily: yield a record after every update and every epoch.

        The position stays at an epoch's end until the record after the epoch's own is requested: if saved in between
        and restored, the training yields that epoch's record again.

        Raises:
            NonFiniteError: on anything that is not finite, before weights or running statistics are touched.
            ValueError: on a label outside the classes, or a loader without batches.
        """
        now = self.position
        while now.epoch < self.epochs:
            before = steps_in(self.method.grow, max(0, now.epoch - 1), self.model.encoder.num_steps)
            if now.batches == 0 and before < self.steps:
                hold_from(self.model, before, self.optimizer, self.average)
            batches = samples(self.loader, now.epoch, now.batches)
            if self.method.accumulate > 1:  # they are collected, and a loader may reuse its tensors
                batches = ((x.clone(), y.clone(), index.clone()) for x, y, index in batches)
            while parts := list(itertools.islice(batches, self.method.accumulate)):
                yield self._update(parts)
            if not now.samples:
                raise ValueError(f"the loader gave 0 training batches in epoch {now.epoch + 1}")
            count = now.samples
            yield EpochRecord(now.epoch, now.loss_sum / count, now.correct / count, count, now.lr)
            now.epoch, now.step, now.batches = now.epoch + 1, 0, 0
            now.loss_sum, now.correct, now.samples = 0.0, 0, 0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that continues the training: its own tensors by name, not copies, and JSON-serialisable facts."""
        tensors = self.weights(self.model)
        facts: dict[str, Any] = {"position": asdict(self.position), "loss": name_of(self.loss)}
        if (batches := batches_of(self.loader)) is not None:
            facts["batches"] = batches
        if self._average is not None:
            tensors |= {f"average.{name}": value for name, value in self._average.module.state_dict().items()}
            facts["averaged"] = int(self._average.n_averaged)
        moments, facts["optimizer"] = optimizer_state(self.optimizer, self.model)
        return tensors | {f"optimizer.{name}": value for name, value in moments.items()}, facts

    def weights(self, model: SpikingClassifier | None = None) -> dict[str, Tensor]:
        """Return what is kept of an epoch: the state of the measured model, or of another, and parameters outside."""
        tensors = {f"model.{name}": value for name, value in (model or self.measured).state_dict().items()}
        return tensors | {f"other.{name}": value for name, value in others(self.optimizer, self.model).items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Give the model and the parameters outside it what :meth:`weights` returned.

        Raises:
            CheckpointError: if it has no such parameters.
        """
        found, own = _part(weights, "other"), others(self.optimizer, self.model)
        if wrong := misfits(found, own):
            raise CheckpointError(f"kept without all parameters outside the model: {'; '.join(wrong[:5])}")
        self.model.load_state_dict(_part(weights, "model"))
        for name, value in own.items():
            value.copy_(found[name])

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises:
            ValueError: if it is of another model, loss or optimiser (its kind, rate, decay or momentum), or from the
                middle of an epoch of other batches; nothing is changed then.
        """
        theirs, ours = facts.get("loss", name_of(None)), name_of(self.loss)
        wrong = [f"it minimises {theirs}, this one {ours}"] if theirs != ours else []
        counts, outside = (facts.get("batches"), batches_of(self.loader)), others(self.optimizer, self.model)
        if facts["position"]["batches"] and None not in counts and counts[0] != counts[1]:
            wrong.append(f"it is in an epoch of {counts[0]} batches, this loader has {counts[1]}")
        parts = {kind: _part(tensors, kind) for kind in ("model", "average", "optimizer", "other")}
        if bool(parts["average"]) != (self._average is not None):
            wrong.append(f"only it or this one keeps an average: here average={self.method.average}")
        own = {"model": self.model.state_dict(), "other": outside if parts["other"] else {}}
        own["average"] = {} if self.average is None else self.average.state_dict()
        for kind, expected in own.items():
            wrong += [f"{kind}: {one}" for one in misfits(parts[kind], expected)]
        if wrong:
            raise ValueError(f"the saved training does not fit: {'; '.join(wrong[:5])}")
        state = restored_state(self.optimizer, self.model, parts["optimizer"], facts["optimizer"], self.made_by)
        position = {**facts["position"], "watch": LossWatch(**facts["position"]["watch"])}
        self.model.load_state_dict(parts["model"])
        if self._average is not None:
            self._average.module.load_state_dict(parts["average"])
            self._average.n_averaged.fill_(facts["averaged"])
        self.optimizer.load_state_dict(state)
        for name, value in outside.items():
            value.copy_(parts["other"].get(name, value))  # an older state has none
        self.position = Position(**position)

    def _update(self, parts: list[Samples]) -> StepRecord:
        """Run forward, backward and update. Statistics move with the weights, or not at all."""
        now, method, processes = self.position, self.method, self.processes
        if self.rates is not None:
            self.rates.apply(self.optimizer, now.epoch, now.step)
        rate = float(self.optimizer.param_groups[0]["lr"])
        counts = [len(labels) for _, labels, _ in parts]
        total, without = _summed(processes, sum(counts), 0 in counts)
        if without:
            raise ValueError(f"a batch has no sample for {without:.0f} of {processes.count} processes")
        self.model.train()
        self.model.zero_grad(set_to_none=True)  # also for parameters the optimiser does not step
        self.optimizer.zero_grad(set_to_none=True)
        loss, correct = torch.zeros(()), 0
        with hold_statistics(self.model) as held:
            for number, part in enumerate(parts, start=1):
                share = len(part[1]) / total
                with nullcontext() if number == len(parts) else processes.no_sync(self._batch_loss):
                    mean, right = self._batch_loss(*part, draw=now.epoch, steps=self.steps)
                    (mean * (share * processes.count)).backward()
                loss, correct = loss + mean.detach().cpu() * share, correct + int(right)
        problem: NonFiniteError | None = None
        try:
            norm = check_finite(self.model, loss * processes.count, self.optimizer, held)  # of this process's part
        except NonFiniteError as error:
            problem = error
        whole, hits, stopped = _summed(processes, float(loss), correct, problem is not None)
        if problem is not None or stopped:
            raise problem or NonFiniteError("another process met numbers that are not finite: the update was not made")
        if method.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(stepped(self.optimizer), method.clip_norm, norm)
        self.optimizer.step()
        held.take_in()
        if self._average is not None:
            self._average.update_parameters(self.model)
        return self._recorded(whole, int(hits), rate, int(total), parts)

    def _recorded(self, loss: float, correct: int, rate: float, total: int, parts: list[Samples]) -> StepRecord:
        now, jumped = self.position, tuple[int, ...]()
        if now.step == 0:
            now.lr = rate
        if now.watch.jumped(loss):
            jumped = tuple(self.processes.all_gather(torch.cat([index for *_, index in parts])).tolist())
        record = StepRecord(now.epoch, now.step, loss, correct, total, rate, now.samples + total, jumped)
        now.step, now.updates, now.batches = now.step + 1, now.updates + 1, now.batches + len(parts)
        now.loss_sum, now.correct, now.samples = now.loss_sum + loss * total, now.correct + correct, now.samples + total
        return record


def _summed(processes: Processes, *numbers: float) -> list[float]:
    """Sum numbers over all processes."""
    return processes.all_reduce_sum(torch.tensor(numbers, dtype=torch.float64)).tolist()


def _part(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}


class Updates(Iterator[StepRecord | EpochRecord]):
    """Iterator over the records of a training, with its session."""

    def __init__(self, session: Session) -> None:
        self.session, self._records = session, session.records()

    @property
    def average(self) -> SpikingClassifier | None:
        """The moving average of the model so far, also a classifier; None if the method has none."""
        return self.session.average

    @property
    def measured(self) -> SpikingClassifier:
        """Model to evaluate: the average if there is one, else the model itself."""
        return self.session.measured

    def __next__(self) -> StepRecord | EpochRecord:
        return next(self._records)


def updates(
    model: SpikingClassifier,
    loader: Loader,
    *,
    epochs: int,
    method: Method | None = None,
    seed: int = 0,
    optimizer: optim.Optimizer | None = None,
    loss: Loss | None = None,
    processes: Processes | None = None,
) -> Updates:
    """Train a model lazily: iterating takes the updates; a record follows every update and every epoch.

    It evaluates and writes nothing: :func:`bntt.fit` does both. Between two records you may measure the model; a
    :class:`~bntt.training.Session` can also be saved there. The average of the weights, if any, is ``result.average``.

    Args:
        model: trained in place; put into training mode before every update.
        loader: a ``bntt.data.SampleLoader`` or any iterable of ``(inputs, labels)``, as :func:`bntt.fit`'s.
        epochs: number of epochs in the whole schedule.
        method: training method; the paper's SGD, learning rate 0.3, by default.
        seed: seed of the encoder's noise.
        optimizer, loss, processes: see :class:`~bntt.training.Session`.

    Returns:
        An iterator of ``StepRecord`` and ``EpochRecord``, with the attributes ``average`` and ``measured``.

    Raises:
        TypeError, NonFiniteError, ValueError: at the call or later, as :class:`~bntt.training.Session`.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500, shuffle=True)
    >>> [type(record).__name__ for record in bntt.training.updates(model, loader, epochs=1)]
    ['StepRecord', 'StepRecord', 'EpochRecord']
    """
    given = {"method": method, "optimizer": optimizer, "loss": loss, "processes": processes}
    return Updates(Session(model, loader, epochs=epochs, seed=seed, **given))  # type: ignore[arg-type]


@torch.no_grad()
def recalibrate(
    model: SpikingClassifier,
    loader: Loader,
    *,
    batches: int = 20,
    per_step: bool = False,
    seed: int = 0,
    draw: int = 0,
) -> int:
    """Replace every norm's running statistics by averages over the first batches of a loader; nothing else changes.

    Every batch is normalised by its own statistics, layer after layer, as in training; then
    ``μ̄_t = mean_b μ_t,b`` and ``σ̄²_t = mean_b σ²_t,b n / (n - 1)`` of the batches b, n values each. Dropout is off.

    Args:
        model: changed in place; its modes stay as they are.
        loader: of training samples, as :func:`~bntt.training.updates`'s; its batches should be as large as in training.
        batches: number of batches used, or all if there are fewer.
        per_step: give standard BN, whose training normalises every step by its own batch, statistics for every step.
        seed, draw: seed and draw of order, augmentation and noise.

    Returns:
        The number of samples seen.

    Raises:
        ValueError: if no norm has statistics, or there is no batch.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2), net)
    >>> recalibrate(model, bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().train, 100), batches=3)
    300
    """
    check_classifier(model, "recalibrate() takes")
    if not any(norm_facts(part).running_statistics for part in model.modules()):
        raise ValueError("no norm of the network has running statistics: there is nothing to measure")
    if batches < 1:
        raise ValueError(f"batches must be 1 or more, got {batches}")
    if model.network.compute.reduce is None:
        check_share(loader, Processes())
    if per_step:
        for part in model.modules():
            if isinstance(part, TemporalNorm):
                part.split_statistics()
    device, seen = next(model.parameters()).device, 0
    with batch_statistics(model) as held:
        for inputs, _, index in itertools.islice(samples(loader, draw), batches):
            model(inputs.to(device), seed=seed, index=index, draw=draw)
            seen += len(inputs)
        if not seen:
            raise ValueError("the loader gave no batch to take statistics from")
        held.put_averages()
    return seen
