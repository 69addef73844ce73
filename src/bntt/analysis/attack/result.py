"""The record of attacks: a row for each attack, ε and model, with its interval and whether it is valid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.result import Metric, Number, Record, Result, Share
from bntt.charts.records import Axis, Chart, Entry, Forest, Level, Line, Lines
from bntt.charts.section import Cell, Section, Table, count, plural, share

NOTE = "an upper bound of the robust accuracy, found by these attacks: no guarantee, a better attack may lower it"
WORST = "worst case"
"""Name of the rows in which an image counts as right if every attack failed on it."""
UNBOUNDED = "pgd, no bound"
"""Name of the control's rows, ε = 1, which are not drawn in charts."""
NAMES = {"fgsm": "FGSM", "pgd": "PGD", "square": "Square (no gradients)", "signs": "random signs"}
ACCURACY = Axis("accuracy", percent=True, low=0, high=1)
EPS = Axis("ε (of 255)", low=0)


class AttackedModel(Record):
    """One of the attacked models."""

    name: str
    weights_sha256: str
    randomness: str
    """"redrawn" in every pass, or "none"."""


class SignAgreement(Record):
    """Agreement of the signs of two gradients, each the mean over its own draws."""

    model: str
    estimator: str
    draws: int
    images: int
    sign_agreement: Number


class AttackRow(Record):
    """One attack with one ε, measured on one model."""

    model: str
    crafted_on: str
    """The model that the images were made on; "any" for the worst case."""
    attack: str
    estimator: str
    """Estimator of a spike's derivative; "" without gradients, "any" for the worst case."""
    eps: float
    eps_255: float
    accuracy: Share
    low_95: float
    high_95: float
    sd_over_draws: Number
    """Standard deviation over draws; None for one draw."""
    clean_accuracy: Share
    """Accuracy on the same images, unchanged."""
    images: int
    chosen: str
    draws: int
    randomness: str
    eot: int | None = None
    """Number of draws behind a gradient."""
    steps: int | None = None
    step_size: float | None = None
    restarts: int | None = None
    random_start: bool | None = None
    queries: int | None = None
    """Largest number of queries per image for a search."""
    queries_used: Number = None
    zero_gradient_share: Number = None
    sign_agreement: Number = None
    largest_change: float
    """The largest change of a pixel."""
    seconds: float
    lowest_single: str | None = None
    """The attack that leaves the fewest right, for a worst case."""
    invalid: str = ""
    """Reason why the number is worthless; "" if it is sound."""
    note: str = NOTE

    def name(self, *, several: bool) -> str:
        """Describe the attack; with several models, also where its images were made."""
        words = [NAMES.get(self.attack, self.attack)]
        words += [self.estimator.replace("_", " ")] if self.estimator not in ("", "any", "exact") else []
        words += [f"made on {self.crafted_on}"] if several and self.crafted_on != "any" else []
        return ", ".join(words)


class AttackResult(Result):
    """Images still classified right under attack: an upper bound of the robust accuracy."""

    arguments: AttackArguments | None = None
    """The arguments; None in older files, which do not have them."""
    chosen: str
    """Description of how the images were chosen."""
    classes: int
    models: Sequence[AttackedModel]
    norm: str = "l-infinity, pixels in [0, 1], before normalisation and encoding"
    note: str = NOTE
    found: Sequence[AttackRow] = Field(alias="rows", min_length=1)
    enough_draws: Sequence[SignAgreement]

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

    def section(self) -> Section:
        wrong = sum(bool(row.invalid) for row in self.found)
        words = [f"Every accuracy is {self.note}.", f"Distances: {self.norm}."]
        words += [f"{plural(wrong, 'row')} of {len(self.found)} INVALID: the row gives the reason."] * bool(wrong)
        return Section(
            "Attacks",
            words=tuple(words),
            tables=tuple(table for model in self.models for table in self._tables(model.name)),
            charts=tuple(chart for model in self.models for chart in self._charts(model.name)),
            folded=(self._draws(),) if self.enough_draws else (),
        )

    def _tables(self, model: str) -> list[Table]:
        """Build a table for each ε, the control's first."""
        several = len(self.models) > 1
        columns = ("attack", "accuracy", "95%", "sd (points)", "zero gradients", "sign agreement", "s", "valid?")
        mine, tables = [row for row in self.found if row.model == model], []
        for eps in dict.fromkeys(row.eps_255 for row in mine):
            some = [row for row in mine if row.eps_255 == eps]
            one = some[0]
            of = f"{one.chosen}; {plural(one.draws, 'draw')}; {one.clean_accuracy:.1%} of the clean images right"
            rows = tuple(_cells(row, several=several) for row in some)
            tables.append(Table(f"{model}, ε = {eps:.3g}/255: {of}", columns, rows))
        return tables

    def _draws(self) -> Table:
        rows = tuple(
            (Cell(f"{one.model}, {one.estimator.replace('_', ' ')}"), count(one.draws), share(one.sign_agreement))
            for one in self.enough_draws
        )
        columns = ("gradient", "draws averaged", "sign agreement with another mean of as many draws")
        return Table(f"How many draws are enough: {plural(self.enough_draws[0].images, 'image')}", columns, rows)

    def _charts(self, model: str) -> list[Chart]:
        """Chart accuracy over ε, starting at the clean images; for a single ε, a forest plot."""
        mine = [row for row in self.found if row.model == model and row.attack != UNBOUNDED]
        clean, bounds = mine[-1].clean_accuracy, {row.eps for row in mine}
        levels = (Level(clean, f"{model}: clean images" if len(self.models) > 1 else "clean images"),
                  Level(1 / self.classes, "chance"))  # fmt: skip
        note = f"{self.chosen}; {plural(mine[-1].draws, 'draw')}; 95% intervals"
        several = len(self.models) > 1
        if len(bounds) == 1:
            entries = [
                Entry(row.name(several=several), row.accuracy, row.low_95, row.high_95, invalid=bool(row.invalid))
                for row in mine
            ]
            return [Forest(f"{model} at ε = {mine[0].eps_255:.3g}/255", ACCURACY, entries, levels, note)]
        lines: dict[str, list[AttackRow]] = {}
        for row in sorted(mine, key=lambda row: row.eps):
            lines.setdefault(row.name(several=several), []).append(row)
        drawn = [_line(name, rows) for name, rows in lines.items()]
        return [Lines(f"{model}, upper bounds of the robust accuracy", EPS, ACCURACY, drawn, levels, note)]

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "fgsm-accuracy": Metric("accuracy under FGSM", "%", lambda r, at: _lowest(r, "fgsm", at), placed=True),
        "fgsm-loss": Metric("points lost under FGSM", "points", lambda r, at: _lost(r, "fgsm", at), placed=True),
        "pgd-accuracy": Metric("accuracy under PGD", "%", lambda r, at: _lowest(r, "pgd", at), placed=True),
    }


def own_rows(result: AttackResult, attack: str) -> list[AttackRow]:
    """Return the valid rows of an attack on the first network, made on itself."""
    own = result.models[0].name
    rows = [row for row in result.found if row.attack == attack and not row.invalid]
    return [row for row in rows if row.model == own and row.crafted_on in (own, "any")]


def _rows(result: AttackResult, attack: str, at: float | None) -> list[AttackRow]:
    """Return the rows at a bound, in units of 1/255."""
    return [row for row in own_rows(result, attack) if abs(row.eps_255 - (at or 0)) < 1e-6]


def _lowest(result: AttackResult, attack: str, at: float | None) -> float | None:
    """Find the lowest accuracy over all estimators, in percent."""
    return min((100 * row.accuracy for row in _rows(result, attack, at)), default=None)


def _lost(result: AttackResult, attack: str, at: float | None) -> float | None:
    """Find the largest loss over all estimators against the clean accuracy of the same images, in points."""
    return max((100 * (row.clean_accuracy - row.accuracy) for row in _rows(result, attack, at)), default=None)


def _line(name: str, rows: Sequence[AttackRow]) -> Line:
    def from_clean(read: Callable[[AttackRow], float], clean: float = rows[0].clean_accuracy) -> list[float]:
        return [clean, *map(read, rows)]

    worst = name == WORST  # bands of all lines would hide one another
    return Line(
        name,
        from_clean(lambda row: row.eps_255, 0.0),
        from_clean(lambda row: row.accuracy),
        name,
        from_clean(lambda row: row.low_95) if worst else (),
        from_clean(lambda row: row.high_95) if worst else (),
        invalid=[i for i, row in enumerate(rows, 1) if row.invalid],
    )


def _cells(row: AttackRow, *, several: bool) -> tuple[Cell, ...]:
    low, high, sd = row.low_95, row.high_95, row.sd_over_draws
    return (
        Cell(row.name(several=several)),
        Cell(f"{row.accuracy:.1%}", row.accuracy, mark="bad" if row.invalid else ""),
        Cell(f"{100 * low:.0f}–{100 * high:.0f}%", low),
        Cell("–") if sd is None else Cell(f"{100 * sd:.1f}", sd),
        share(row.zero_gradient_share),
        share(row.sign_agreement),
        Cell(f"{row.seconds:.0f}", row.seconds),
        Cell("INVALID", 0.0, row.invalid, "bad") if row.invalid else Cell("valid", 1.0),
    )
