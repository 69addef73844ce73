"""Settings of an attack on a run: the attacks, their bounds and strength, and the number of images."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Draws, Measurement, Split


def check_eps(eps: float) -> None:
    """Reject an invalid bound.

    Raises:
        ValueError: if it is not above 0 and at most 1.

    >>> check_eps(8)
    Traceback (most recent call last):
    ValueError: eps must be above 0 and at most 1, the whole range of a pixel, got 8: do you mean 8/255?
    """
    if not 0 < eps <= 1:
        hint = f": do you mean {eps:g}/255?" if 1 < eps <= 255 else ""
        hint = ": with 0 it is the clean accuracy, which every result has" if eps == 0 else hint
        raise ValueError(f"eps must be above 0 and at most 1, the whole range of a pixel, got {eps:g}{hint}")


def parse_eps(text: str, flag: str = "--eps") -> float:
    """Parse a bound: a fraction such as 8/255, or a decimal number, in units of the whole range of a pixel.

    Raises:
        ArgumentError: if it is neither, or not above 0 and at most 1.

    >>> parse_eps("8/255") == 8 / 255, parse_eps("0.03")
    (True, 0.03)
    """
    if re.fullmatch(r"\d+", text) and int(text):
        raise ArgumentError(
            f"{flag} {text}: pixels range from 0 to 1: do you mean {text}/255? (1.0 is the whole range)"
        )
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"{flag} {text}: write a number such as 8/255 or 0.03") from None
    if flag != "--eps" and not 0 < value <= 1:
        raise ArgumentError(f"{flag} {text}: must be above 0 and at most 1, the whole range of a pixel")
    try:
        check_eps(value)
    except ValueError as error:
        raise ArgumentError(f"{flag} {text}: {error}") from None
    return value


@dataclass(frozen=True)
class AttackArguments:
    """Arguments of the attack measurement."""

    eps: tuple[str, ...] = ("2/255", "4/255", "8/255")
    """Largest change of a pixel, as a share of its range: 8/255, or 0.03."""
    attack: tuple[Literal["fgsm", "pgd", "square"], ...] = ("fgsm", "pgd", "square")
    """The attacks; square is a search without gradients."""
    steps: Annotated[int, Ge(1)] = 10
    """Number of steps of pgd."""
    step_size: str | None = None
    """Step size of pgd, written as eps; 2.5 eps / steps by default."""
    restarts: Annotated[int, Ge(1)] = 1
    """Number of random starts of pgd."""
    eot: Annotated[int, Ge(1)] | None = None
    """Number of noise draws averaged in a gradient; 16 by default, 1 if nothing is random."""
    queries: Annotated[int, Ge(2)] = 500
    """Largest number of queries per image of the search; two make a round."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, stratified by class; 500 by default, or all if there are fewer."""
    draws: Draws | None = None
    """Number of draws to measure with, each with fresh noise; by default the recipe's."""
    split: Split = "test"
    """Split whose images are measured."""

    def __post_init__(self) -> None:
        if not self.eps or not self.attack:
            raise ArgumentError("an attack needs a bound (--eps) and a name (--attack)")
        _ = self.bounds, self.length

    @property
    def bounds(self) -> tuple[float, ...]:
        """Every ε once."""
        return tuple(dict.fromkeys(parse_eps(one) for one in self.eps))

    @property
    def length(self) -> float | None:
        """Length of a pgd step, if given."""
        return None if self.step_size is None else parse_eps(self.step_size, "--step-size")


ATTACK = Measurement(
    "attack",
    """Attack a run with every estimator of a spike's derivative, and measure accuracy with fresh noise.

    Accuracies are upper bounds on the robust accuracy. A row is INVALID, and the exit code 7, if gradients are zero
    for more than 1% of the images, PGD without a bound stays above chance, several steps are weaker than one, or a
    search without gradients does better. Finished batches are kept in RUN/attack; the same command continues after
    a stop.

    Example: bntt attack runs/fashion-mnist --eps 2/255 8/255 --images 200 --eot 8""",
    AttackArguments,
    second="another run on the same data: images made on one are measured on the other, both ways.",
    needs_spikes=False,
)
