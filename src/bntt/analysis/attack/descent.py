"""FGSM and PGD by foolbox, with our own gradients, starts and noise.

Foolbox (3.3.4) provides the loop of gradient-sign steps. Its parts that do not suit a random model are overridden, as
foolbox allows: it has no numbered draws, its gradient would also reach the parameters, its mean over draws is of logits
with all graphs in memory, its random starts use torch's global generator, and its projection rounds (x + ε) - x. Its
default step of ε/30, its choice among restarts by one draw and its success flag from another draw are not used.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bntt.analysis.attack.gradient import ATTACK_DRAW, InputGradient, input_gradient, mean_loss
from bntt.analysis.attack.measurement import check_eps
from bntt.nn.encoders.encoder import index_of
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.ops.random import Purpose, sample_keys, uniform

OVERSHOOT = 2.5
"""Total length of all steps in units of ε, if no step size is given: enough to get from any start to any corner."""


@dataclass(frozen=True)
class Threat:
    """``‖x' - x‖∞ ≤ ε`` with x' in [0, 1]: pixels before normalisation, in units of the whole range.

    Raises:
        ValueError: if ε is not above 0 and at most 1, a step size is not above 0, or a count is below 1.

    >>> Threat(8 / 255).length == 8 / 255, Threat(8 / 255, steps=10).length == 2 / 255
    (True, True)
    """

    eps: float
    """The bound, ε."""
    steps: int = 1
    """Number of gradient steps; one step from the image itself is FGSM."""
    step_size: float | None = None
    """Length of each step; None: ε for a single step, 2.5 ε / steps for several."""
    restarts: int = 1
    """Number of starts; the worst result is kept for each image."""
    draws: int = 16
    """Number of noise draws behind every gradient (expectation over transformation)."""
    random_start: bool = False
    """Start uniformly at random within ε instead of at the image."""

    def __post_init__(self) -> None:
        check_eps(self.eps)
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size must be a finite number above 0, in units of pixels, got {self.step_size}")
        for name in ("steps", "restarts", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"{self.restarts} restarts from the image itself are all the same: say random_start=True")

    @property
    def length(self) -> float:
        """Length of a step."""
        if self.step_size is not None:
            return self.step_size
        return self.eps if self.steps == 1 else OVERSHOOT * self.eps / self.steps

    @property
    def passes(self) -> int:
        """Forward and backward passes per image, including those that choose among restarts."""
        each = self.steps * self.draws
        return self.restarts * (each + (self.draws if self.restarts > 1 else 0))


class NoFoolboxError(ImportError):
    """FGSM and PGD need the extra ``robust``."""


@dataclass(frozen=True)
class AttackedImages:
    """Changed images with details of the attack, one entry for each image."""

    images: Float[Tensor, "B *shape"]
    zero: Bool[Tensor, " B"] | None = None
    """True where the first gradient was zero in every pixel; None without gradients."""
    agreement: Float[Tensor, " B"] | None = None
    """Sign agreement of the first gradient, see :class:`~bntt.analysis.attack.gradient.InputGradient`."""
    queries: Int[Tensor, " B"] | None = None
    """Number of queries of a search to the model."""


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
    """Run FGSM or PGD: ``x ← clip(x + α sign(dL/dx))``, within ε of the image and [0, 1], for all steps of the threat.

    Goodfellow et al. 2015; Madry et al. 2018. Gradient k, counted over steps and starts, takes the draws
    ``2**40 + k draws`` onwards; of several starts, each image keeps the result with the largest loss over fresh draws.
    The model and the given images are left unchanged.

    Args:
        images: pixels in [0, 1].
        estimator: one of :func:`~bntt.analysis.attack.gradient.estimators_of`.
        index, seed: identify the noise and random starts.

    Raises:
        NoFoolboxError: if foolbox is not installed.
        NoGradientError: if no gradient connects the output with the images.

    >>> from bntt.models import mlp
    >>> from bntt.nn import DirectEncoder
    >>> model = SpikingClassifier(DirectEncoder(2), mlp(in_features=4, hidden=(8,), num_steps=2))
    >>> images, labels = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    >>> found = descend(model, images, labels, Threat(0.25, draws=1), estimator="exact")
    >>> set(found.images.flatten().tolist()) <= {0.25, 0.5, 0.75}
    True
    """
    check_classifier(model, "descend() takes")
    (kind, pixels), places = _foolbox(), index_of(index, images)
    noise: dict[str, Any] = {"seed": seed, "index": places}
    seen: list[InputGradient] = []

    def gradient(x: Tensor) -> InputGradient:
        draw = ATTACK_DRAW + len(seen) * threat.draws
        seen.append(input_gradient(model, x, labels, estimator=estimator, draws=threat.draws, draw=draw, **noise))
        return seen[-1]

    tried = []
    for restart in range(threat.restarts):
        start = _start(images, threat, places, seed, restart) if threat.random_start else images
        tried.append(kind(gradient, start, threat).run(pixels, images.detach(), labels, epsilon=threat.eps))
    found = tried[0]
    if threat.restarts > 1:
        draw = ATTACK_DRAW + threat.restarts * threat.steps * threat.draws
        losses = [mean_loss(model, x, labels, draws=threat.draws, draw=draw, **noise) for x in tried]
        found = torch.stack(tried)[torch.stack(losses).argmax(0), torch.arange(len(images), device=images.device)]
    return AttackedImages(found, seen[0].zero, seen[0].agreement)


def random_signs(
    images: Float[Tensor, "B *shape"], eps: float, *, index: Integer[Tensor, " B"], seed: int = 0
) -> Float[Tensor, "B *shape"]:
    """Compute ``clip(x ± ε)`` with fair signs: a change as large as FGSM's but uninformed, for comparison.

    >>> random_signs(torch.full((1, 1, 1, 2), 0.5), 0.25, index=torch.tensor([7])).flatten()
    tensor([0.7500, 0.2500])
    """
    keys = sample_keys(seed, Purpose.START, 0, index)
    return (images + eps * fair_signs(uniform(keys, *images.shape[1:]), images)).clamp(0, 1)


def fair_signs(numbers: Tensor, like: Tensor) -> Tensor:
    """Turn uniform numbers into signs, +1 below one half, in the dtype of another tensor.

    >>> fair_signs(torch.tensor([0.2, 0.7]), torch.ones(()))
    tensor([ 1., -1.])
    """
    return (numbers < 0.5).to(like.dtype) * 2 - 1


def _start(images: Tensor, threat: Threat, index: Tensor, seed: int, restart: int) -> Tensor:
    """Draw uniformly within ε; the numbers differ between restarts and from those of :func:`random_signs`."""
    keys = sample_keys(seed, Purpose.START, 1 + restart, index)
    return images + threat.eps * (2 * uniform(keys, *images.shape[1:]).to(images.dtype) - 1)


def require_foolbox() -> None:
    """Check that foolbox is installed.

    Raises:
        NoFoolboxError: saying how to install it.
    """
    if find_spec("foolbox") is None:
        raise NoFoolboxError('FGSM and PGD need foolbox, which is not installed: pip install "bntt[robust]"')


@cache
def _foolbox() -> tuple[Any, Any]:
    """Return foolbox's gradient descent, with our gradient and starts, and all that it needs of a model: pixel bounds.

    Raises:
        NoFoolboxError: if it is not installed.
    """
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
