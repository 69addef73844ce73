"""Changes of images that mislead a model: FGSM and PGD along gradients, the Square attack without, and random signs.

A random spike has no derivative, so an estimator replaces it, and the loss is averaged over fresh draws before any sign
is taken (expectation over transformation: Athalye, Carlini & Wagner 2018). For a network whose first layer is linear,
the straight-through estimator is that of Sharmin et al. 2020: the gradient at the first layer's output, summed over
time, goes back through its weights. It is taken at the output, not at the membrane: BNTT's factor of each step lies
between.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.call import index_of
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import evaluating
from bntt.ops.poisson import GradientEstimator, expected, straight_through
from bntt.ops.random import Purpose, sample_keys, uniform

ATTACK_DRAW = FIRST_DRAW << 8
"""First draw number of an attack, which does not know the noise that it is measured with."""
SEARCH_DRAW = 2 * ATTACK_DRAW
"""First draw number of a search."""
ESTIMATORS: dict[str, GradientEstimator] = {"straight_through": straight_through, "expected": expected}
"""Estimators that can replace the derivative of a random spike, by name."""
EXACT = "exact"
"""The name of an encoder's own derivative."""
OVERSHOOT = 2.5
"""Total length of all steps in units of ε, if no step size is given: enough to get from any start to any corner."""
SHARE = 0.8
"""Share of an image's area that the first squares of a search cover."""
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Rounds, out of 10,000, after which the area is halved; scaled in proportion for other budgets."""
SURE = 4
"""Number of consecutive wrong draws after which an image leaves a search."""


class NoGradientError(ValueError):
    """A model without a gradient from its output to its images: gradient attacks are impossible."""


class NoFoolboxError(ImportError):
    """FGSM and PGD need the extra ``robust``."""


@dataclass(frozen=True)
class InputGradient:
    """The gradient of a loss with respect to images, averaged over draws of the noise."""

    gradient: Float[Tensor, "B *shape"]
    """``d/dx mean_d L(x; draw d)`` of each image's own loss, independent of the batch size."""
    loss: Float[Tensor, " B"]
    """``mean_d L``."""
    agreement: Float[Tensor, " B"]
    """Share of pixels whose sign agrees between the first and second half of the draws, among pixels with a sign in
    either half; NaN if there is no such pixel, or only one draw."""

    @property
    def zero(self) -> Bool[Tensor, " B"]:
        """True where an image's gradient is zero in every pixel: an attack leaves such an image unchanged."""
        return (self.gradient == 0).flatten(1).all(1)


@dataclass(frozen=True)
class Threat:
    """``‖x' - x‖∞ ≤ ε`` with x' in [0, 1]: pixels before normalisation, in units of the whole range."""

    eps: float
    """The bound, ε."""
    steps: int = 1
    """Number of gradient steps; one step from the image itself is FGSM."""
    step_size: float | None = None
    """Length of each step; None: ε for a single step, 2.5 ε / steps for several."""
    restarts: int = 1
    """Number of starts; the worst result is kept for each image."""
    draws: int = 16
    """Number of noise draws behind every gradient."""
    random_start: bool = False
    """Start uniformly at random within ε instead of at the image."""

    @property
    def length(self) -> float:
        """Length of a step."""
        if self.step_size is not None:
            return self.step_size
        return self.eps if self.steps == 1 else OVERSHOOT * self.eps / self.steps

    @property
    def passes(self) -> int:
        """Forward and backward passes per image, including those that choose among restarts."""
        return self.restarts * self.draws * (self.steps + (self.restarts > 1))


@dataclass(frozen=True)
class AttackedImages:
    """Changed images with details of the attack, one entry for each image."""

    images: Float[Tensor, "B *shape"]
    zero: Bool[Tensor, " B"] | None = None
    """True where the first gradient was zero in every pixel; None without gradients."""
    agreement: Float[Tensor, " B"] | None = None
    """Sign agreement of the first gradient."""
    queries: Int[Tensor, " B"] | None = None
    """Number of queries of a search to the model."""


def estimators_of(model: SpikingClassifier) -> tuple[str, ...]:
    """List the estimators that an attack can use: all, for random spikes; "exact" for any other encoder."""
    check_classifier(model, "estimators_of() takes")
    return tuple(ESTIMATORS) if encoder_facts(model.encoder).estimated else (EXACT,)


def input_gradient(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    estimator: str,
    draws: int = 1,
    seed: int = 0,
    draw: int = ATTACK_DRAW,
    index: Integer[Tensor, " B"] | None = None,
) -> InputGradient:
    """Return the gradient of cross entropy with respect to pixels in [0, 1], averaged over draws from ``draw`` on."""
    check_classifier(model, "input_gradient() takes")
    halves, loss = [torch.zeros_like(images), torch.zeros_like(images)], images.new_zeros(len(images))
    with torch.enable_grad(), _estimating(model, estimator):
        for number in range(draws):
            x = images.detach().clone().requires_grad_()
            each = F.cross_entropy(model(x, seed=seed, index=index, draw=draw + number), labels, reduction="none")
            slope = torch.autograd.grad(each.sum(), x, allow_unused=True)[0] if each.requires_grad else None
            if slope is None:
                raise NoGradientError(
                    "no gradient connects the model's output with its images, so gradient attacks are impossible: give "
                    "its encoder a derivative, such as PoissonEncoder's estimators, or attack only by random search"
                )
            halves[2 * number // draws] += slope
            loss += each.detach()
    agreement = _agreement(*halves) if draws > 1 else torch.full_like(loss, torch.nan)
    return InputGradient((halves[0] + halves[1]) / draws, loss / draws, agreement)


@contextmanager
def _estimating(model: SpikingClassifier, estimator: str) -> Iterator[None]:
    """Set evaluation mode and this estimator, without parameter gradients, inside the block; then restore all."""
    encoder: Any = None if estimator == EXACT else model.encoder
    own = None if encoder is None else encoder.gradient
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    compute = model.network.compute
    with evaluating(model):
        try:
            model.requires_grad_(False)
            model.network.compute = replace(compute, input_grad="direct")  # Winograd's error is that of a whole tile
            if encoder is not None:
                encoder.gradient = ESTIMATORS[estimator]
            yield
        finally:
            model.network.compute = compute
            if encoder is not None:
                encoder.gradient = own
            for parameter, wants in wanted:
                parameter.requires_grad_(wants)


def _agreement(first: Tensor, second: Tensor) -> Tensor:
    first, second = first.sign().flatten(1), second.sign().flatten(1)
    either = (first != 0) | (second != 0)
    same = ((first == second) & either).sum(1).to(first.dtype)
    return same / either.sum(1)  # NaN where neither has a sign


def mean_loss(
    model: SpikingClassifier, images: Tensor, labels: Tensor, *, draws: int, draw: int, **noise: Any
) -> Float[Tensor, " B"]:
    """Return the cross entropy of each image, mean over draws, without a gradient."""
    loss = images.new_zeros(len(images))
    with torch.no_grad(), evaluating(model):
        for number in range(draws):
            loss += F.cross_entropy(model(images, draw=draw + number, **noise), labels, reduction="none")
    return loss / draws


def descend(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    threat: Threat,
    *,
    estimator: str,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
) -> AttackedImages:
    """Run FGSM or PGD (Goodfellow 2015; Madry 2018): ``x ← clip(x + α sign(dL/dx))``, within ε and [0, 1]."""
    check_classifier(model, "descend() takes")
    (kind, pixels), places = _foolbox(), index_of(index, len(images), images.device)
    noise: dict[str, Any] = {"seed": seed, "index": places, "draws": threat.draws}
    seen: list[InputGradient] = []

    def gradient(x: Tensor) -> InputGradient:
        draw = ATTACK_DRAW + len(seen) * threat.draws
        seen.append(input_gradient(model, x, labels, estimator=estimator, draw=draw, **noise))
        return seen[-1]

    tried = []
    for restart in range(threat.restarts):
        start = images
        if threat.random_start:  # other numbers for each restart than those of random_signs
            keys = sample_keys(seed, Purpose.START, 1 + restart, places)
            start = images + threat.eps * (2 * uniform(keys, *images.shape[1:]).to(images.dtype) - 1)
        tried.append(kind(gradient, start, threat).run(pixels, images.detach(), labels, epsilon=threat.eps))
    found = tried[0]
    if threat.restarts > 1:
        draw = ATTACK_DRAW + threat.restarts * threat.steps * threat.draws
        losses = [mean_loss(model, x, labels, draw=draw, **noise) for x in tried]
        found = torch.stack(tried)[torch.stack(losses).argmax(0), torch.arange(len(images), device=images.device)]
    return AttackedImages(found, seen[0].zero, seen[0].agreement)


def require_foolbox() -> None:
    """Refuse to go on without foolbox."""
    if find_spec("foolbox") is None:
        raise NoFoolboxError('FGSM and PGD need foolbox, which is not installed: pip install "bntt[robust]"')


@cache
def _foolbox() -> tuple[Any, Any]:
    """Return foolbox's gradient descent with numbered draws, our gradient and starts; and what it needs of a model."""
    require_foolbox()
    with warnings.catch_warnings(action="ignore"):  # it uses a deprecated name of SciPy
        from eagerpy.astensor import astensor
        from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
        from foolbox.types import Bounds

    class Descent(LinfProjectedGradientDescentAttack):
        def __init__(self, gradient: Any, start: Tensor, threat: Threat) -> None:
            super().__init__(abs_stepsize=threat.length, steps=threat.steps, random_start=True)
            self.gradient, self.start = gradient, start

        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return astensor(self.start)

        def value_and_grad(self, loss_fn: Any, x: Any) -> tuple[Any, Any]:
            found = self.gradient(x.raw)
            return astensor(found.loss.sum()), astensor(found.gradient)

        def project(self, x: Any, x0: Any, epsilon: float) -> Any:
            return astensor(torch.clamp(x.raw, x0.raw - epsilon, x0.raw + epsilon))

    return Descent, SimpleNamespace(bounds=Bounds(0, 1))


def random_signs(
    images: Float[Tensor, "B *shape"], eps: float, *, index: Integer[Tensor, " B"], seed: int = 0
) -> Float[Tensor, "B *shape"]:
    """Return ``clip(x ± ε)`` with fair signs: a change as large as FGSM's but uninformed, for comparison."""
    keys = sample_keys(seed, Purpose.START, 0, index)
    return _moved(images, eps, uniform(keys, *images.shape[1:]))


def _moved(images: Tensor, eps: float, numbers: Tensor) -> Tensor:
    """Move pixels by ε: up where a uniform number is below one half, else down; within [0, 1]."""
    return (images + eps * ((numbers < 0.5).to(images.dtype) * 2 - 1)).clamp(0, 1)


def search(
    model: SpikingClassifier,
    images: Float[Tensor, "B C H W"],
    labels: Int[Tensor, " B"],
    eps: float,
    *,
    queries: int,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
) -> AttackedImages:
    """Run the Square attack (Andriushchenko 2020): keep squares of ±ε that reduce the margin ``z_y - max_{k≠y} z_k``.

    The model is random: in each round the image is queried with and without the square, in the same fresh draw, so that
    a lucky draw is never remembered as progress.
    """
    check_classifier(model, "search() takes")
    places = index_of(index, len(images), images.device)
    best, asked = _stripes(images, eps, places, seed), torch.zeros_like(places)
    wrong, alive = torch.zeros_like(places), torch.arange(len(images), device=images.device)
    with torch.no_grad(), evaluating(model):
        for number in range(queries // 2):
            few, truth, names = best[alive], labels[alive], places[alive]
            side = _side(images.shape[2:], number, queries // 2)
            tried = _with_square(few, images[alive], eps, side, sample_keys(seed, Purpose.SEARCH, 1 + number, names))
            noise = {"seed": seed, "index": names, "draw": SEARCH_DRAW + number}
            before, after = (_margin(model(x, **noise), truth) for x in (few, tried))
            best[alive] = torch.where((after < before).reshape(-1, 1, 1, 1), tried, few)
            asked[alive] += 2
            wrong[alive] = torch.where(torch.minimum(before, after) < 0, wrong[alive] + 1, 0)
            alive = alive[wrong[alive] < SURE]
            if len(alive) == 0:
                break
    return AttackedImages(best, queries=asked)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    others = logits.scatter(1, labels[:, None], -math.inf)
    return logits.gather(1, labels[:, None])[:, 0] - others.amax(1)


def _stripes(images: Tensor, eps: float, index: Tensor, seed: int) -> Tensor:
    keys = sample_keys(seed, Purpose.SEARCH, 0, index)
    return _moved(images, eps, uniform(keys, images.shape[1], 1, images.shape[3]))


def _side(size: torch.Size, number: int, rounds: int) -> int:
    """Return the side of a square: the root of its share of the area, at least a pixel, at most the shorter side."""
    share = SHARE / 2 ** bisect_left(HALVINGS, 10_000 * number / rounds)
    return max(1, min(size[0], size[1], round(math.sqrt(share * size[0] * size[1]))))


def _with_square(x: Tensor, images: Tensor, eps: float, side: int, keys: Tensor) -> Tensor:
    """Place one square on each image, with each channel's ±ε relative to the original image."""
    _, channels, height, width = x.shape
    numbers = uniform(keys, 2 + channels)
    top, left = ((numbers[:, i] * (n - side + 1)).long()[:, None] for i, n in enumerate((height, width)))
    rows, columns = (torch.arange(n, device=x.device)[None] for n in (height, width))
    inside = ((rows >= top) & (rows < top + side))[:, :, None] & ((columns >= left) & (columns < left + side))[:, None]
    return torch.where(inside[:, None], _moved(images, eps, numbers[:, 2:, None, None]), x)
