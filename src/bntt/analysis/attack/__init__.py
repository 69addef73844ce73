"""Images still classified right under attack, with intervals and checks of whether each number is sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Len
from pydantic import Field

from bntt.analysis.measurement import ArgumentError, Draws, Measurement, Opened, Progress, Split, origin
from bntt.analysis.result import Number, Record, Result, Share, Shown, table
from bntt.charts.records import Axis, Level, Line, Lines
from bntt.charts.section import Cell, Section, Table, plural

NOTE = "an upper bound of the robust accuracy, found by these attacks: no guarantee, a better attack may lower it"
WORST = "worst case"
"""Name of the rows in which an image counts as right if every attack failed on it."""
UNBOUNDED = "pgd, no bound"
"""Name of the control's rows, ε = 1, which are not drawn in charts."""
NAMES = {"fgsm": "FGSM", "pgd": "PGD", "square": "Square (no gradients)", "signs": "random signs"}
ACCURACY = Axis("accuracy", percent=True, low=0, high=1)
COLUMNS = (
    "images", "accuracy", "interval", "sd_over_draws", "zero_gradient_share", "seconds", "valid",
)  # fmt: skip


def parse_eps(text: str, flag: str = "--eps") -> float:
    """Parse a bound: a fraction such as 8/255, or a decimal number, in units of the whole range of a pixel."""
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if 0 < value <= 1 and not text.isdigit():  # the whole range is 1.0
        return value
    hint = f": do you mean {value:g}/255?" if 1 <= value <= 255 else ", write a number such as 8/255 or 0.03"
    hint = ": with 0 it is the clean accuracy, which every result has" if value == 0 and flag == "--eps" else hint
    raise ArgumentError(f"{flag} {text}: {flag[2:]} must be above 0 and at most 1, a pixel's whole range{hint}")


@dataclass(frozen=True)
class AttackArguments:
    """Arguments of the attack measurement."""

    eps: Annotated[tuple[str, ...], Len(1)] = ("2/255", "4/255", "8/255")
    """Largest change of a pixel, as a share of its range: 8/255, or 0.03."""
    attack: Annotated[tuple[Literal["fgsm", "pgd", "square"], ...], Len(1)] = ("fgsm", "pgd", "square")
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
        _ = self.bounds, self.length

    @property
    def bounds(self) -> tuple[float, ...]:
        return tuple(dict.fromkeys(parse_eps(one) for one in self.eps))

    @property
    def length(self) -> float | None:
        return None if self.step_size is None else parse_eps(self.step_size, "--step-size")


class AttackedModel(Record):
    """One of the attacked models; its randomness is "redrawn" in every pass, or "none"."""

    name: str
    weights_sha256: str
    randomness: str


class AttackRow(Record):
    """One attack with one ε, measured on one model; in a worst case source and estimator are "any"."""

    model: str
    crafted_on: str
    attack: str
    estimator: str
    eps: float
    eps_255: float
    accuracy: Annotated[Share, Shown(form=".1%")]
    low_95: float
    high_95: float
    sd_over_draws: Annotated[Number, Shown("sd", form=".1%")]
    clean_accuracy: Share
    images: int
    chosen: str
    draws: int
    eot: int | None = None
    steps: int | None = None
    step_size: float | None = None
    restarts: int | None = None
    queries: int | None = None
    queries_used: Number = None
    zero_gradient_share: Annotated[Number, Shown("zero gradients", form=".1%")] = None
    largest_change: float
    seconds: Annotated[float, Shown("s", form=".0f")]
    invalid: str = ""

    @property
    def interval(self) -> Annotated[tuple[float, float], Shown("95%", form=".0%")]:
        return self.low_95, self.high_95

    @property
    def valid(self) -> Annotated[Cell, Shown("valid?")]:
        return Cell("INVALID", 0.0, self.invalid, "bad") if self.invalid else Cell("valid", 1.0)


class AttackResult(Result):
    """Images still classified right under attack: an upper bound of the robust accuracy."""

    arguments: AttackArguments | None = None
    chosen: str
    classes: int
    models: Sequence[AttackedModel]
    norm: str = "l-infinity, pixels in [0, 1], before normalisation and encoding"
    note: str = NOTE
    found: Sequence[AttackRow] = Field(alias="rows", min_length=1)

    @property
    def title(self) -> str:
        return f"{' and '.join(one.name for one in self.models)} under attack: {self.dataset}, {self.split}"

    @property
    def invalid(self) -> str:
        wrong = [row for row in self.found if row.invalid]
        why = dict.fromkeys(f"{row.attack} {row.estimator} at {row.eps_255:.3g}/255: {row.invalid}" for row in wrong)
        return f"{len(wrong)} of {len(self.found)} rows are INVALID ({' | '.join(why)})" if wrong else ""

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump() for row in self.found]

    def fgsm_accuracy(self, at: float) -> Annotated[Number, Shown("accuracy under FGSM", "", ".1%", "fgsm-accuracy")]:
        """Return the lowest accuracy over all estimators at a bound, in units of 1/255."""
        return min((row.accuracy for row in self.own_rows("fgsm", at)), default=None)

    def fgsm_loss(self, at: float) -> Annotated[Number, Shown("points lost under FGSM", "points", ".1%", "fgsm-loss")]:
        """Return the largest loss over all estimators against the clean accuracy of the same images."""
        return max((row.clean_accuracy - row.accuracy for row in self.own_rows("fgsm", at)), default=None)

    def pgd_accuracy(self, at: float) -> Annotated[Number, Shown("accuracy under PGD", "", ".1%", "pgd-accuracy")]:
        return min((row.accuracy for row in self.own_rows("pgd", at)), default=None)

    def own_rows(self, attack: str, at: float | None = None) -> list[AttackRow]:
        """Return the valid rows of an attack on the first network, made on itself; at one bound, or at all."""
        own = self.models[0].name
        rows = [row for row in self.found if row.attack == attack and row.model == own and not row.invalid]
        rows = [row for row in rows if row.crafted_on in (own, "any")]
        return [row for row in rows if at is None or abs(row.eps_255 - at) < 1e-6]

    def section(self) -> Section:
        wrong = sum(bool(row.invalid) for row in self.found)
        words = [f"Every accuracy is {self.note}.", f"Distances: {self.norm}."]
        words += [f"{plural(wrong, 'row')} of {len(self.found)} INVALID: the row gives the reason."] * bool(wrong)
        names = [model.name for model in self.models]
        return Section("Attacks", tuple(words), tuple(map(self._table, names)), tuple(map(self._chart, names)))

    def _name(self, row: AttackRow) -> str:
        """Describe an attack; with several models, also where its images were made."""
        words = [NAMES.get(row.attack, row.attack)]
        words += [row.estimator.replace("_", " ")] if row.estimator not in ("", "any", "exact") else []
        words += [f"made on {row.crafted_on}"] if len(self.models) > 1 and row.crafted_on != "any" else []
        return ", ".join(words)

    def _table(self, model: str) -> Table:
        rows = [row for row in self.found if row.model == model]
        named = {f"{self._name(row)}, ε = {row.eps_255:.3g}/255": row for row in rows}
        clean = f"{rows[-1].clean_accuracy:.1%} of the clean images right"
        return table(
            f"{model}: {self.chosen}; {plural(rows[-1].draws, 'draw')}; {clean}", named, *COLUMNS, first="attack"
        )

    def _chart(self, model: str) -> Lines:
        """Chart accuracy over ε, starting at the clean images."""
        rows = [row for row in self.found if row.model == model and row.attack != UNBOUNDED]
        clean, chance = rows[-1].clean_accuracy, Level(1 / self.classes, "chance")
        levels = (Level(clean, f"{model}: clean images" if len(self.models) > 1 else "clean images"), chance)
        note = f"{self.chosen}; {plural(rows[-1].draws, 'draw')}; 95% intervals"
        by_name: dict[str, list[AttackRow]] = {}
        for row in sorted(rows, key=lambda row: row.eps):
            by_name.setdefault(self._name(row), []).append(row)
        lines = list[Line]()
        for name, some in by_name.items():
            keys = ("accuracy", "low_95", "high_95")
            y, low, high = ([some[0].clean_accuracy, *(getattr(row, key) for row in some)] for key in keys)
            low, high = (low, high) if name == WORST else ([], [])  # bands of all lines would hide one another
            invalid = [i for i, row in enumerate(some, 1) if row.invalid]
            lines.append(Line(name, [0.0, *(row.eps_255 for row in some)], y, name, low, high, invalid=invalid))
        title = f"{model}, upper bounds of the robust accuracy"
        return Lines(title, Axis("ε (of 255)", low=0), ACCURACY, lines, levels, note)


def measure_attack(opened: Sequence[Opened], arguments: AttackArguments, progress: Progress) -> AttackResult:
    """Attack a run; with a second run, also measure each on the images made on the other."""
    from bntt.analysis.attack.attacks import attack_rows, outcomes, prepare

    setup = prepare(opened, arguments)
    progress.expect(setup.total)
    return AttackResult(
        **origin(opened[0], arguments),
        chosen=setup.chosen,
        classes=len(setup.images.classes),
        models=setup.models,
        rows=attack_rows(setup, outcomes(setup, progress)),
    )


ATTACK = Measurement(
    "attack",
    """Attack a run with every estimator of a spike's derivative, and measure accuracy with fresh noise.

    Accuracies are upper bounds on the robust accuracy. A row is INVALID, and the exit code 7, if gradients are zero
    for more than 1% of the images, PGD without a bound stays above chance, several steps are weaker than one, or a
    search without gradients does better. Finished batches are kept in RUN/attack; the same command continues after
    a stop.

    Example: bntt attack runs/fashion-mnist --eps 2/255 8/255 --images 200 --eot 8""",
    AttackArguments,
    AttackResult,
    measure_attack,
    second="another run on the same data: images made on one are measured on the other, both ways.",
    needs_spikes=False,
)
