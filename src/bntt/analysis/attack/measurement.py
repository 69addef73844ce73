"""Settings of an attack on a run: the attacks, their bounds and strength, and the number of images."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Measurement, Split


def check_eps(eps: float) -> None:
    """Reject an invalid bound.

    Raises:
        ValueError: if it is not above 0 and at most 1.

    >>> check_eps(8)
    Traceback (most recent call last):
    ValueError: eps must be above 0 and at most 1, the whole range of a pixel, got 8: 8/255 is meant?
    """
    if not 0 < eps <= 1:
        hint = f": {eps:g}/255 is meant?" if 1 < eps <= 255 else ""
        hint = ": of 0 the accuracy is the clean one, which every result has" if eps == 0 else hint
        raise ValueError(f"eps must be above 0 and at most 1, the whole range of a pixel, got {eps:g}{hint}")


def parse_eps(text: str, flag: str = "--eps") -> float:
    """Parse a bound: a fraction such as 8/255, or a decimal number, in units of the whole range of a pixel.

    Raises:
        ArgumentError: if it is neither, or not above 0 and at most 1.

    >>> parse_eps("8/255") == 8 / 255, parse_eps("0.03")
    (True, 0.03)
    """
    if re.fullmatch(r"\d+", text) and int(text):
        raise ArgumentError(f"{flag} {text}: pixels run from 0 to 1; is {text}/255 meant? (the whole range is 1.0)")
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"{flag} {text}: write it as 8/255 or 0.03") from None
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
    """How far a pixel may move, of its whole range: 8/255, or 0.03."""
    attack: tuple[Literal["fgsm", "pgd", "square"], ...] = ("fgsm", "pgd", "square")
    """Their names; square is a search without gradients."""
    steps: Annotated[int, Ge(1)] = 10
    """Of pgd."""
    step_size: str | None = None
    """Of pgd, written as eps; 2.5 eps / steps by default."""
    restarts: Annotated[int, Ge(1)] = 1
    """Random starts of pgd."""
    eot: Annotated[int, Ge(1)] | None = None
    """Draws of noise behind a gradient; 16 by default, 1 where nothing is drawn."""
    queries: Annotated[int, Ge(2)] = 500
    """Of the search for an image, at most; two make a round."""
    images: Annotated[int, Ge(1)] | None = None
    """How many, as many of each class as its share; 500 by default, or all if there are fewer."""
    draws: Annotated[int, Ge(1)] | None = None
    """Repetitions with fresh noise to measure with; as many as the recipe says by default."""
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
    """Attack a run with every way to stand in for a spike's derivative, and measure it with noise of its own.

    Accuracies are upper bounds of the robust one. A row is INVALID, and the exit code 7, where gradients are zero for
    more than 1% of the images, where PGD without a bound stays above chance, where several steps are weaker than one,
    or where a search without gradients does better. Every batch is kept below RUN/attack as soon as it is done, and
    the same command goes on where it stopped.

    Example: bntt attack runs/fashion-mnist --eps 2/255 8/255 --images 200 --eot 8""",
    AttackArguments,
    second="another run on the same data: images made on it are measured on this one, and the other way round.",
    needs_spikes=False,
)
