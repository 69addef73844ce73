"""Static early exit (paper Section 3.4): γ determines, before any image is seen, when a network may stop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.exit.gamma import GammaProfile
from bntt.analysis.exit.result import Reading

ROUNDING = 1e-9
"""Tolerance for rounding of shares: less than one image in any data set."""


class NoGammaError(ValueError):
    """A network without a γ for each step that reaches its readout: nothing determines when it may stop."""


def check_loss(loss: float) -> None:
    """Reject a loss that is no share.

    Raises:
        ValueError: stating so.
    """
    if not 0 <= loss <= 1:
        raise ValueError(f"the allowed loss must be 0 to 1, as a share (0.005 is half a point), got {loss}")


def envelope(profile: GammaProfile, reading: Reading = "magnitude") -> Float[Tensor, " T"]:
    """Compute the largest mean over all normalised layers at every step; −∞ where none is driven.

    Raises:
        NoGammaError: if no layer has a γ for each step, or none that reaches the readout.

    >>> rows, no = {"conv1": torch.tensor([0.9, 0.2]), "fc1": torch.tensor([0.1, 0.3])}, {}
    >>> envelope(GammaProfile(rows, no, {"conv1": range(2), "fc1": range(2)}, no, no))
    tensor([0.9000, 0.3000])
    """
    rows: dict[str, Tensor] = getattr(profile, reading)
    if not rows:
        raise NoGammaError(
            "no layer has a γ for each step, from which an early exit is read: train with a norm that has one "
            "(network.norm='bntt'); stopping early by accuracy alone needs no γ (truncation)"
        )
    largest = torch.full_like(next(iter(rows.values())), -math.inf)
    for name, row in rows.items():
        steps = slice(profile.driven[name].start, profile.driven[name].stop)
        largest[steps] = torch.maximum(largest[steps], row[steps])
    if not any(profile.driven[name] for name in rows):
        raise NoGammaError(
            f"with T = {len(largest)}, no γ has a path from the input to the readout: train with "
            f"more steps (network.num_steps), or fire after integration (network.fire='after')"
        )
    return largest


def exit_step(profile: GammaProfile, threshold: float, reading: Reading = "magnitude") -> int:
    """Return the number of steps to run, 1 to T: one more than the last t at which a layer reaches the threshold.

    After these steps, every layer's mean stays below the threshold: the other steps are quiet enough to omit. If no
    layer reaches the threshold at any step, the result is 1, with a warning.

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
    reached = (envelope(profile, reading) >= threshold).nonzero()
    if len(reached) == 0:
        warnings.warn(
            f"no mean γ reaches the exit threshold {threshold:g} at any step: stopping after 1; take a lower one",
            stacklevel=2,
        )
        return 1
    return int(reached[-1]) + 1


@dataclass(frozen=True)
class ThresholdRange:
    """The thresholds that stop after one number of steps."""

    steps: int
    above: float
    """Lower end, 0 or more: thresholds above this one stop there ..."""
    to: float
    """... up to and including this one; ∞ for 1 step, which thresholds that no layer reaches also give."""


def threshold_ranges(profile: GammaProfile, reading: Reading = "magnitude") -> tuple[ThresholdRange, ...]:
    """Return every number of steps that some threshold gives, from most to fewest: the grid of the paper's Figure 7.

    Args:
        profile: γ of every layer, from :func:`gamma_profile`.
        reading: "magnitude", mean |γ|; "signed", mean γ; or "relative", see ``GammaProfile.relative``.

    Raises:
        NoGammaError: if no layer has a γ for each step.

    >>> rows, no = {"fc1": torch.tensor([0.25, 1.0, 0.5])}, {}
    >>> [(s.steps, s.above, s.to) for s in threshold_ranges(GammaProfile(rows, no, {"fc1": range(3)}, no, no))]
    [(3, 0.0, 0.5), (2, 0.5, 1.0), (1, 1.0, inf)]
    """
    found, above = list[ThresholdRange](), 0.0
    largest = envelope(profile, reading).tolist()
    for t in range(len(largest) - 1, -1, -1):
        if largest[t] > above or (not found and largest[t] == above):
            found.append(ThresholdRange(t + 1, above, largest[t]))
            above = largest[t]
    if found and found[-1].steps == 1:
        return (*found[:-1], ThresholdRange(1, found[-1].above, math.inf))
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


class LossBudgetError(ValueError):
    """No threshold stays within the allowed loss."""


def choose_exit(
    profile: GammaProfile, over_time: Sequence[float], loss: float, reading: Reading = "magnitude"
) -> Choice:
    """Return the threshold that stops earliest within an allowed loss against the accuracy after all steps.

    It is the highest threshold with that exit that some layer reaches.

    Args:
        profile: γ of every layer, from :func:`gamma_profile`.
        over_time: accuracy on validation if stopped after step t, for all T steps.
        loss: the largest allowed loss, as a share: 0.005 is half a point.
        reading: "magnitude", mean |γ|; "signed", mean γ; or "relative", see ``GammaProfile.relative``.

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
    steps = _earliest(over_time, loss, reachable)
    if steps is None:
        gentle = max(reachable or {1: 0.0}, key=lambda count: over_time[count - 1])
        raise LossBudgetError(
            f"no threshold loses at most {100 * loss:g} points on validation: the best one stops after {gentle} of "
            f"{len(over_time)} steps and loses {100 * (over_time[-1] - over_time[gentle - 1]):.2f}: allow a larger loss"
        )
    return choice_at(over_time, steps, reachable[steps])


def choose_truncation(over_time: Sequence[float], loss: float) -> Choice:
    """Return the fewest steps within an allowed loss, regardless of γ: the baseline for an exit by γ.

    Args:
        over_time: accuracy on validation if stopped after step t, for all T steps.
        loss: the largest allowed loss, as a share: 0.005 is half a point.

    Raises:
        ValueError: on a loss that is negative or not a number.

    >>> choose_truncation((0.5, 0.7, 0.75, 0.74), 0.005).steps
    3
    """
    steps = _earliest(over_time, loss, range(1, len(over_time) + 1))
    assert steps is not None  # all T steps lose nothing
    return choice_at(over_time, steps, None)


def _earliest(over_time: Sequence[float], loss: float, counts: Iterable[int]) -> int | None:
    check_loss(loss)
    enough = [count for count in counts if over_time[count - 1] >= over_time[-1] - loss - ROUNDING]
    return min(enough, default=None)


def choice_at(over_time: Sequence[float], steps: int, threshold: float | None) -> Choice:
    """Describe a stop after a number of steps, however it was chosen.

    >>> choice_at((0.5, 0.75), 1, None)
    Choice(steps=1, threshold=None, accuracy=0.5, lost=0.25)
    """
    accuracy = over_time[steps - 1]
    return Choice(steps, threshold, accuracy, over_time[-1] - accuracy)
