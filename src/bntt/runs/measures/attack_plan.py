"""What a run is attacked with: which attacks, how far, how hard, on how many images."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bntt.analysis.attack.threat import Threat, check_eps
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError

Attack = Literal["fgsm", "pgd", "square"]
ALONG = ("fgsm", "pgd")
"""Those that follow gradients."""
IMAGES = 500
"""By default, if there are so many."""
CONTROL_IMAGES = 100
"""At most, for the attack without a bound."""
EOT = 16
"""Draws behind a gradient by default."""


def parse_eps(text: str, option: str = "--eps") -> float:
    """A bound as it is written: a fraction such as 8/255, or a decimal number, in units of the whole range of a pixel.

    Args:
        option: what it was written for.

    Raises:
        RecipeError: if it is neither, or not above 0 and at most 1.

    >>> parse_eps("8/255") == 8 / 255, parse_eps("0.03")
    (True, 0.03)
    """
    if re.fullmatch(r"\d+", text) and int(text):
        raise RecipeError(f"{option} {text}: pixels run from 0 to 1; is {text}/255 meant? (the whole range is 1.0)")
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise RecipeError(f"{option} {text}: write it as 8/255 or 0.03") from None
    if option != "--eps" and not 0 < value <= 1:
        raise RecipeError(f"{option} {text}: must be above 0 and at most 1, the whole range of a pixel")
    try:
        check_eps(value)
    except ValueError as error:
        raise RecipeError(f"{option} {text}: {error}") from None
    return value


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Raises:
        RecipeError: if a number is out of range, or there is nothing to do.
    """

    eps: tuple[float, ...]
    attacks: tuple[Attack, ...] = ("fgsm", "pgd", "square")
    steps: int = 10
    """Of PGD."""
    step_size: float | None = None
    """Of PGD; None: 2.5 ε / steps."""
    restarts: int = 1
    """Of PGD: random starts."""
    eot: int | None = None
    """Draws behind a gradient; None: 16, or 1 where the model draws nothing."""
    queries: int = 500
    """Of the search, for an image at most."""
    images: int | None = None
    """How many; None: 500, or all where there are fewer."""
    draws: int | None = None
    """Of the noise that the outcome is measured under; None: as many as the recipe says."""
    split: Split = "test"

    def __post_init__(self) -> None:
        if not self.eps or not self.attacks:
            raise RecipeError("an attack needs a bound (--eps) and a name (--attack)")
        for name in ("steps", "restarts", "eot", "images", "draws"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"--{name} must be 1 or more, got {value}")
        if self.queries < 2:
            raise RecipeError(f"--queries must be 2 or more, a round of the search, got {self.queries}")
        try:
            for eps in self.eps:
                Threat(eps, step_size=self.step_size)
        except ValueError as error:
            raise RecipeError(str(error)) from None


@dataclass(frozen=True)
class Job:
    """One way to change the images; each is kept in a file of its own."""

    source: int
    """On which of the models: 0 is the run itself."""
    attack: str
    """"clean", "signs" (random ones), "fgsm", "pgd" or "square"."""
    eps: float = 0.0
    estimator: str = ""
    """Of the gradient, where there is one."""
    threat: Threat | None = None
    queries: int = 0
    control: bool = False
    """PGD without a bound, ε = 1, which only tells whether the attack works."""

    @property
    def along(self) -> bool:
        """Whether it follows gradients."""
        return self.threat is not None

    @property
    def passes(self) -> int:
        """Of an image through the model, about."""
        return self.queries + (self.threat.passes if self.threat else 0)


def jobs(plan: Plan, estimators: tuple[tuple[str, ...], ...], eot: tuple[int, ...]) -> Iterator[Job]:
    """Everything that is done, in order: clean images, the control, then each ε.

    Args:
        estimators: of every model.
        eot: draws behind a gradient of every model.

    >>> [job.attack for job in jobs(Plan((0.1,), ("fgsm",)), (("exact",),), (1,))]
    ['clean', 'pgd', 'signs', 'fgsm']
    """
    yield Job(0, "clean")
    along = [attack for attack in plan.attacks if attack in ALONG]
    models = list(enumerate(zip(estimators, eot, strict=True)))
    if along:
        for source, (names, draws) in models:
            for name in names:
                threat = Threat(1.0, steps=plan.steps, draws=draws, random_start=True)
                yield Job(source, "pgd", 1.0, name, threat, control=True)
    for eps in plan.eps:
        yield Job(0, "signs", eps)
        for source, (names, draws) in models:
            for attack, name in itertools.product(along, names):
                yield Job(source, attack, eps, name, _threat(plan, attack, eps, draws))
            if "square" in plan.attacks:
                yield Job(source, "square", eps, queries=plan.queries)


def _threat(plan: Plan, attack: str, eps: float, draws: int) -> Threat:
    if attack == "fgsm":
        return Threat(eps, draws=draws)
    return Threat(eps, plan.steps, plan.step_size, plan.restarts, draws, random_start=True)
