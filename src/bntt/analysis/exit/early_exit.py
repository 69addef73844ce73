"""γ over time, the static exit that it determines (paper Section 3.4), and the exit of each sample by its certainty."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bntt.analysis.accuracy.evaluation import (
    ExitRule,
    advance_batch,
    check_labels,
    check_logits,
    first_input,
    presented,
    right_answers,
)
from bntt.analysis.exit import Reading
from bntt.analysis.measurement import ArgumentError
from bntt.engine.graph.layer import CHUNK_BYTES
from bntt.nn.call import evaluating
from bntt.nn.fuse import samples_at_once
from bntt.nn.kinds import norm_facts, step_gamma
from bntt.nn.network.classifier import SpikingClassifier, check_classifier, check_network
from bntt.nn.network.delays import delays
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Measure
from bntt.nn.network.spiking_network import STEPS_AT_ONCE, SpikingNetwork

SAME = 1e-5
"""If γ varies by no more than this share, its histogram shows one value: float32 cannot separate the bins."""
ROUNDING = 1e-9
"""Tolerance for rounding of shares: less than one image in any data set."""
Criterion = Literal["confidence", "margin", "entropy"]
CRITERIA: tuple[Criterion, ...] = ("confidence", "margin", "entropy")
CANDIDATES = 500
"""Number of thresholds tried for a choice: quantiles of the observed values."""


class NoGammaError(ArgumentError, ValueError):
    """A network without a γ for each step that reaches its readout: nothing determines when it may stop."""


class LossBudgetError(ValueError):
    """No threshold stays within the allowed loss."""


@dataclass(frozen=True)
class GammaProfile:
    """Mean γ of every layer that has a γ for each step, ``[T]`` each; returned by :func:`gamma_profile`.

    Some γ have no path from input to readout: with ``fire_before``, those of a layer's first and last steps. Only
    weight decay changes them, so peaks and exits ignore them (see :attr:`driven`).
    """

    magnitude: dict[str, Float[Tensor, " T"]]
    """Mean of |γ|: the value that early exit reads."""
    signed: dict[str, Float[Tensor, " T"]]
    """Mean of γ: the paper's wording."""
    driven: dict[str, range]
    """The steps whose γ has a path from the input to the readout."""
    deviation: dict[str, Float[Tensor, " T"]]
    """Mean of σ̄ = √(running variance + ε)."""
    relative: dict[str, Float[Tensor, " T"]]
    """Mean of |γ_t| σ̄ / σ̄_t, σ̄ being each channel's mean over the driven steps: the factor on the current."""

    def peak(self, layer: str) -> int | None:
        """Return the driven step, 0-based, at which a layer's mean |γ| is largest; None if none is driven."""
        steps = self.driven[layer]
        if not steps:
            return None
        return steps.start + int(self.magnitude[layer][steps.start : steps.stop].argmax())


def gamma_profile(network: SpikingNetwork) -> GammaProfile:
    """Return γ and σ̄ of every layer whose norm has a γ for each step; other layers are omitted.

    Args:
        network: any spiking network.

    >>> from bntt.models import vgg6
    >>> gamma_profile(vgg6(num_steps=3)).magnitude["conv1"]
    tensor([1., 1., 1.])
    """
    check_network(network, "gamma_profile")
    late, found = delays(network), GammaProfile({}, {}, {}, {}, {})
    for name, norm in stepwise_norms(network).items():
        gamma, deviation, steps = step_gamma(norm), deviations(norm), late[name].driven(norm.num_steps)
        usual = deviation[steps.start : steps.stop].mean(0) if steps else deviation.mean(0)
        found.magnitude[name], found.signed[name], found.driven[name] = gamma.abs().mean(1), gamma.mean(1), steps
        found.deviation[name] = deviation.mean(1)
        found.relative[name] = (gamma.abs() * usual / deviation).mean(1)
    return found


def deviations(norm: Any) -> Float[Tensor, "T C"]:
    """Return σ̄ of every step and channel, ``√(running variance + ε)``; 1 if a custom norm keeps no statistics."""
    if not norm_facts(norm).running_statistics:
        return torch.ones_like(norm.gamma)
    found: Tensor = (norm.running_var + norm.eps).sqrt().expand_as(norm.gamma)
    return found


def stepwise_norms(network: SpikingNetwork) -> dict[str, Any]:
    """Return the norms that have a γ for each step, by layer.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> list(stepwise_norms(mlp(hidden=(4,), num_steps=3))), list(stepwise_norms(mlp(hidden=(4,), norm="bn")))
    (['fc1'], [])
    """
    check_network(network, "stepwise_norms")
    norms = {name: layer.norm for name, layer in network.layers.items()}
    return {name: norm for name, norm in norms.items() if norm_facts(norm).step_gamma}


class StepChanges(NamedTuple):
    """Changes in one layer from each step to the next; NaN if γ of one of the two has no path to the readout."""

    gamma: Float[Tensor, " pairs"]
    """Mean over channels of |γ_{t+1} - γ_t|, divided by the mean of |γ_t|: 0 where the paper's assumption holds."""
    deviation: Float[Tensor, " pairs"]
    """The same for σ̄."""


def step_changes(network: SpikingNetwork) -> dict[str, StepChanges]:
    """Return how γ and the running statistics change between neighbouring steps, for layers with a γ for each step.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> step_changes(mlp(hidden=(4,), num_steps=3))["fc1"].gamma
    tensor([0., 0.])
    """
    check_network(network, "step_changes")
    found, late = {}, delays(network)
    for name, norm in stepwise_norms(network).items():
        gamma, deviation, steps = step_gamma(norm), deviations(norm), late[name].driven(norm.num_steps)
        own, other = ((x[1:] - x[:-1]).abs().mean(1) / x[:-1].abs().mean(1) for x in (gamma, deviation))
        without = [t for t in range(norm.num_steps - 1) if t not in steps or t + 1 not in steps]
        for values in (own, other):
            values[without] = torch.nan
        found[name] = StepChanges(own, other)
    return found


class GammaSpread(NamedTuple):
    """γ over a layer's channels (Fig. 6): the channels between two edges, of which the last bin includes the upper."""

    edges: Float[Tensor, " edges"]
    counts: Int[Tensor, "T bins"]


def gamma_spread(network: SpikingNetwork, bins: int = 40) -> dict[str, GammaSpread]:
    """Return histograms of γ for every layer that has one for each step, over the range of all its steps.

    Args:
        network: any spiking network.
        bins: number of bins.

    >>> from bntt.models import mlp
    >>> gamma_spread(mlp(hidden=(4,), num_steps=2), bins=2)["fc1"].counts
    tensor([[0, 4],
            [0, 4]])
    """
    check_network(network, "gamma_spread")
    found = {}
    for name, gamma in ((name, step_gamma(norm)) for name, norm in stepwise_norms(network).items()):
        low, high = float(gamma.min()), float(gamma.max())
        if high - low <= SAME * max(abs(low), abs(high)):
            low, high = low - 0.5, high + 0.5
        edges = torch.linspace(low, high, bins + 1)
        which = torch.bucketize(gamma.cpu().float(), edges[1:-1], right=True)
        counts = torch.stack([row.bincount(minlength=bins) for row in which])
        found[name] = GammaSpread(edges, counts)
    return found


def envelope(profile: GammaProfile, reading: Reading = "magnitude") -> Float[Tensor, " T"]:
    """Return the largest mean over all normalised layers at every step; −∞ where none is driven."""
    rows: dict[str, Tensor] = getattr(profile, reading)
    if not any(profile.driven[name] for name in rows):
        raise NoGammaError(
            "no γ has a path from the input to the readout: train with network.norm='bntt', more network.num_steps, or "
            "network.fire='after'; --per-sample needs no γ either"
        )
    largest = torch.full_like(next(iter(rows.values())), -math.inf)
    for name, row in rows.items():
        steps = slice(profile.driven[name].start, profile.driven[name].stop)
        largest[steps] = torch.maximum(largest[steps], row[steps])
    return largest


def exit_step(profile: GammaProfile, threshold: float, reading: Reading = "magnitude") -> int:
    """Return the number of steps to run, 1 to T: one more than the last t at which a layer reaches the threshold.

    If none ever reaches it, the result is 1, with a warning.

    Args:
        profile: γ of every layer, from :func:`gamma_profile`.
        threshold: 0 or more, in units of γ.
        reading: "magnitude", mean |γ|; "signed", mean γ; or "relative", see ``GammaProfile.relative``.

    Raises:
        ValueError: on a threshold that is negative or not a number.
        NoGammaError: if no layer has a γ for each step.

    >>> rows, no = {"fc1": torch.tensor([0.02, 0.9, 0.3, 0.05])}, {}
    >>> exit_step(GammaProfile(rows, no, {"fc1": range(4)}, no, no), 0.1)
    3
    """
    if not (threshold >= 0 and math.isfinite(threshold)):
        raise ValueError(f"an exit threshold must be 0 or above, in units of γ, got {threshold}")
    if len(reached := (envelope(profile, reading) >= threshold).nonzero()):
        return int(reached[-1]) + 1
    warnings.warn(f"no mean γ reaches the exit threshold {threshold:g}: stopping after 1 step; lower it", stacklevel=2)
    return 1


class ThresholdRange(NamedTuple):
    """The thresholds, above one and up to another, that stop after one number of steps; for 1 step there is no end."""

    steps: int
    above: float
    to: float


def threshold_ranges(profile: GammaProfile, reading: Reading = "magnitude") -> tuple[ThresholdRange, ...]:
    """Return every number of steps that some threshold gives, from most to fewest: the grid of the paper's Figure 7.

    Args:
        profile, reading: as for :func:`exit_step`.

    Raises:
        NoGammaError: if no layer has a γ for each step.

    >>> rows, no = {"fc1": torch.tensor([0.25, 1.0, 0.5])}, {}
    >>> [(s.steps, s.above, s.to) for s in threshold_ranges(GammaProfile(rows, no, {"fc1": range(3)}, no, no))]
    [(3, 0.0, 0.5), (2, 0.5, 1.0), (1, 1.0, inf)]
    """
    found, above = list[ThresholdRange](), 0.0
    largest = envelope(profile, reading).tolist()
    for t in range(len(largest) - 1, 0, -1):
        if largest[t] > above or (not found and largest[t] == above):
            found.append(ThresholdRange(t + 1, above, largest[t]))
            above = largest[t]
    return (*found, ThresholdRange(1, above, math.inf))


@dataclass(frozen=True)
class Choice:
    """The number of steps to run, as chosen on validation; returned by :func:`choose_exit`."""

    steps: int
    """Number of steps to run, 1 to T."""
    threshold: float | None
    """The highest threshold that stops there; None for a truncation."""
    accuracy: float
    """Accuracy on validation after these steps."""
    lost: float
    """Accuracy lost on validation compared with all steps; negative if these steps are more accurate."""


def choose_exit(
    profile: GammaProfile, over_time: Sequence[float], loss: float, reading: Reading = "magnitude"
) -> Choice:
    """Return the threshold that stops earliest within an allowed loss against the accuracy after all steps.

    It is the highest threshold with that exit that some layer reaches.

    Args:
        profile, reading: as for :func:`exit_step`.
        over_time: accuracy on validation if stopped after step t, for all T steps.
        loss: the largest allowed loss, as a share: 0.005 is half a point.

    Raises:
        LossBudgetError: if every threshold loses more.
        ValueError: on a loss that is negative or not a number, or accuracies for another number of steps.
        NoGammaError: if no layer has a γ for each step.

    >>> rows, no = {"fc1": torch.tensor([0.25, 1.0, 0.5])}, {}
    >>> profile = GammaProfile(rows, no, {"fc1": range(3)}, no, no)
    >>> choose_exit(profile, (0.5, 0.75, 0.75), 0.01)
    Choice(steps=2, threshold=1.0, accuracy=0.75, lost=0.0)
    """
    lines = envelope(profile, reading)
    if len(lines) != len(over_time):
        raise ValueError(f"γ has {len(lines)} steps, the accuracies have {len(over_time)}")
    highest = float(lines.max())
    ranges = threshold_ranges(profile, reading)
    reachable = {one.steps: min(one.to, highest) for one in ranges if one.above < highest or one.to == highest}
    if found := next((one for one in _within(loss, over_time) if one.steps in reachable), None):
        return replace(found, threshold=reachable[found.steps])
    raise LossBudgetError(f"no threshold loses at most {100 * loss:g} points on validation: allow a larger loss")


def choose_truncation(over_time: Sequence[float], loss: float) -> Choice:
    """Return the fewest steps within an allowed loss, regardless of γ: the baseline for an exit by γ.

    Args:
        over_time, loss: as for :func:`choose_exit`.

    Raises:
        ValueError: on a loss that is negative or not a number.

    >>> choose_truncation((0.5, 0.7, 0.75, 0.74), 0.005).steps
    3
    """
    return _within(loss, over_time)[0]


def _within(loss: float, over_time: Sequence[float]) -> list[Choice]:
    """Return the stops, the earliest first, that lose at most this; all T steps lose nothing."""
    check_loss(loss)
    whole = over_time[-1]
    stops = [Choice(steps, None, accuracy, whole - accuracy) for steps, accuracy in enumerate(over_time, 1)]
    return [one for one in stops if one.accuracy >= whole - loss - ROUNDING]


def check_loss(loss: float) -> None:
    """Refuse a loss that is not a share."""
    if not 0 <= loss <= 1:
        raise ValueError(f"the allowed loss must be 0 to 1, as a share (0.005 is half a point), got {loss}")


def certainty(logits: Float[Tensor, "... K"], criterion: Criterion) -> Float[Tensor, "..."]:
    """Return the certainty of a network, from 0 to 1, with p the softmax of its logits so far."""
    if logits.shape[-1] == 1:
        return torch.ones_like(logits[..., 0])
    if criterion == "entropy":
        logs = logits.log_softmax(-1)
        return (1 + (logs.exp() * logs).sum(-1) / math.log(logits.shape[-1])).clamp(0, 1)  # rounding
    best = logits.softmax(-1).topk(2, dim=-1).values
    return best[..., 0] if criterion == "confidence" else best[..., 0] - best[..., 1]


def exit_rule(criterion: Criterion, threshold: float) -> ExitRule:
    """Return the rule by which samples leave: all whose certainty reaches the threshold."""
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}: choose one of {', '.join(CRITERIA)}")
    return lambda logits: certainty(logits, criterion) >= threshold


class Running(NamedTuple):
    """Certainty, by criterion, and correctness of every presentation of a sample after each step."""

    certainty: dict[Criterion, Float[Tensor, "N T"]]
    right: Bool[Tensor, "N T"]


@torch.no_grad()
def record_running(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> Running:
    """Return certainty, by each criterion, and correctness at every step of every sample, in evaluation mode.

    Each is a tensor ``[N, T]``; N counts every draw of a sample. The model is left unchanged.

    Args:
        model, batches, seed, draws, progress: as :func:`~bntt.analysis.evaluate`'s, with the same noise and errors.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=4)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> record_running(model, loader).right.shape
    torch.Size([1000, 4])
    """
    check_classifier(model, "record_running() takes")
    right, sure = list[Tensor](), {criterion: list[Tensor]() for criterion in CRITERIA}
    for _, inputs, labels, noise in presented(model, batches, "look at", seed, draws, progress):
        logits = model.trace(inputs, **noise).logits
        right.append(right_answers(logits, labels).T.cpu())
        for criterion, found in sure.items():
            found.append(certainty(logits, criterion).T.cpu())
    return Running({criterion: torch.cat(found) for criterion, found in sure.items()}, torch.cat(right))


def exits_at(sure: Float[Tensor, "N T"], threshold: float) -> Int[Tensor, " N"]:
    """Return the number of steps after which each sample leaves: the first at which it is that certain, or all."""
    leaves = sure >= threshold
    leaves[:, -1] = True
    return leaves.to(torch.uint8).argmax(1) + 1


@dataclass(frozen=True)
class SampleChoice:
    """A threshold for each sample's exit, as chosen on validation; returned by :func:`choose_sample_exit`."""

    criterion: Criterion
    """What is compared with the threshold."""
    threshold: float
    """The threshold; ∞ if no sample may leave early."""
    accuracy: float
    """Accuracy on validation."""
    lost: float
    """Accuracy lost on validation compared with all steps."""
    mean_steps: float
    """Mean number of steps over the samples."""


def choose_sample_exit(running: Running, criterion: Criterion, loss: float) -> SampleChoice:
    """Return the threshold with the fewest mean steps among those within the allowed loss; 500 quantiles are tried.

    Args:
        running: certainty and correctness at every step, from :func:`record_running`.
        criterion: what is compared with the threshold.
        loss: the largest allowed loss, as a share: 0.005 is half a point.

    Raises:
        ValueError: on another criterion, or a loss that is no share.

    >>> seen = Running({"margin": torch.tensor([[0.1, 0.9], [0.6, 0.9]])}, torch.tensor([[False, True], [True, True]]))
    >>> choose_sample_exit(seen, "margin", 0.0).mean_steps
    1.5
    """
    exit_rule(criterion, 0.0)  # refuses an unknown one
    check_loss(loss)
    sure, right = running.certainty[criterion], running.right
    whole = float(right[:, -1].double().mean())
    early = sure[:, :-1].flatten().double().sort().values
    last = len(early) - 1  # beyond 2²⁴ float32 rounds it up
    places = torch.linspace(0, last, min(CANDIDATES, len(early))).round().long().clamp(max=last)
    choices = []
    for threshold in (math.inf, *sorted(set(early[places].tolist()))):
        steps = exits_at(sure, threshold)
        accuracy = float(right.gather(1, steps[:, None] - 1).double().mean())
        choices.append(SampleChoice(criterion, threshold, accuracy, whole - accuracy, float(steps.double().mean())))
    return min((one for one in choices if one.lost <= loss + ROUNDING), key=lambda one: one.mean_steps)


@dataclass(frozen=True)
class SampleExits:
    """Answers and exit times of samples that left individually; returned by :func:`exit_each`.

    Every draw of a sample counts separately.
    """

    classes: Int[Tensor, " N"]
    """The predicted class of each."""
    right: Bool[Tensor, " N"]
    """True where that class is the label."""
    steps: Int[Tensor, " N"]
    """Number of steps after which each left."""
    spikes: Float[Tensor, " T"]
    """Spikes of all layers at each step, of the samples still present, per presentation of a sample."""
    num_steps: int
    """T."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.right.double().mean())

    @property
    def mean_steps(self) -> float:
        """Mean number of steps."""
        return float(self.steps.double().mean())

    @property
    def distribution(self) -> tuple[float, ...]:
        """The share of samples that left after 1, 2, ... T steps."""
        counts = self.steps.bincount(minlength=self.num_steps + 1)[1:]
        return tuple((counts / len(self.steps)).tolist())


@torch.no_grad()
def exit_each(
    model: SpikingClassifier,
    batches: Loader,
    criterion: Criterion,
    threshold: float,
    *,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> SampleExits:
    """Return answers and exit times: samples whose :func:`certainty` reaches the threshold leave with their class.

    The model is left unchanged. Each sample gets the answer that it would get alone.

    Args:
        model: the classifier.
        batches, seed, draws, progress: as for :func:`~bntt.analysis.evaluate`.
        criterion: what is compared with the threshold.
        threshold: 0 or more; ∞ lets no sample leave early.

    Raises:
        ValueError: on a threshold that is negative or NaN, draws below 1, or if there are no samples.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=4)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> exit_each(model, loader, "margin", 0.0).mean_steps
    1.0
    """
    check_classifier(model, "exit_each() takes")
    if not threshold >= 0:
        raise ValueError(f"a threshold of certainty must be 0 or above, got {threshold}")
    total, rule = model.encoder.num_steps, exit_rule(criterion, threshold)
    classes, right, steps = list[Tensor](), list[Tensor](), list[Tensor]()
    spikes = torch.zeros(total, dtype=torch.float64)
    with evaluating(model):
        for inputs, labels, noise in _merged(model, presented(model, batches, "classify", seed, draws, progress)):
            answer, left = (torch.zeros(len(labels), dtype=torch.int64, device=inputs.device) for _ in range(2))
            steps_of_batch = advance_batch(model, inputs, Measure(spikes=True), noise, leaves=rule)
            for step, (logits, measured, there) in enumerate(steps_of_batch):
                spikes[step] += sum(float(one.spikes.sum()) for one in measured.values() if one.spikes is not None)
                check_labels(labels, logits.shape[2])
                check_logits(logits)
                answer[there], left[there] = logits[-1].argmax(1), step + 1
            classes.append(answer.cpu())
            right.append(classes[-1] == labels.cpu())
            steps.append(left.cpu())
    return SampleExits(torch.cat(classes), torch.cat(right), torch.cat(steps), spikes / sum(map(len, steps)), total)


def _merged(
    model: SpikingClassifier, batches: Iterable[tuple[int, Tensor, Tensor, dict[str, Any]]]
) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """Merge as many batches of a draw as fill the memory of a pass: a step of few takes as long as one of many."""
    for _, group in groupby(batches, key=lambda one: (one[0], one[1].shape[1:])):
        for batch in (alike := iter(group)):
            _, inputs, _, noise = batch
            shape = first_input(model, inputs, noise).shape
            full = min(
                samples_at_once(model.network.plan(shape), shape[2:]),
                STEPS_AT_ONCE * len(inputs),
                CHUNK_BYTES // max(1, inputs[0].nbytes),
            )
            some = chain([batch], islice(alike, max(0, full // len(inputs) - 1)))
            own = [(x.clone(), y.clone(), told["index"].clone()) for _, x, y, told in some]  # loaders may reuse tensors
            inputs, labels, index = map(torch.cat, zip(*own, strict=True))
            yield inputs, labels, {**noise, "index": index}
