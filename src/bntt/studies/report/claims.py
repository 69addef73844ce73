"""Claims of a study: what is claimed, by whom, our numbers as forest plots, the verdict and its reason."""

from __future__ import annotations

from dataclasses import dataclass

from bntt.analysis.accuracy.accuracy import FEW
from bntt.charts.section import Mark
from bntt.studies.claims.words import with_interval
from bntt.studies.report.reading import GapError, Values, finite

VERDICTS: dict[str, tuple[str, Mark]] = {
    "holds": ("✓", "good"),
    "does not hold": ("✗", "bad"),
    "not decided": ("?", "open"),
    "not run": ("–", "gap"),
}
"""Verdicts with a sign each, for readers who see no colour."""


@dataclass(frozen=True)
class Strip:
    """One value in a cell: a mark on its interval, drawn one line high."""

    name: str
    said: str
    """The value in words."""
    value: float
    low: float | None
    high: float | None
    bounds: tuple[float, ...]
    """Values that it is compared with, drawn as lines."""
    scale: tuple[float, float]
    """Ends of the drawing, shared by strips that are read together."""

    def at(self, value: float) -> float:
        """Return the place of a value, from 6 to 174."""
        low, high = self.scale
        return round(6 + 168 * min(1.0, max(0.0, (value - low) / (high - low))), 1)


@dataclass(frozen=True)
class Plot:
    """Strips on one scale, under the quantity that they measure."""

    of: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Claim:
    """Claim of a source or question of our own, and the verdict on it: a word, a sign, and the reason."""

    says: str
    quotation: str
    """Words of the source; "" for a question of our own."""
    source: str
    paper: str
    """Number of the source, as text."""
    verdict: str
    sign: str
    mark: Mark
    because: str
    rule: str
    plots: tuple[Plot, ...] = ()
    few: bool = False
    """True if its starts are too few for a test: the verdict is shown but not tested."""


def claims_of(values: Values) -> tuple[Claim, ...]:
    """Read the claims of a study, those of the paper first.

    Raises:
        GapError: if one has no text or no verdict.
    """
    return tuple(_claim(one) for one in sorted(values.rows("claims"), key=lambda one: not one.shown("quotation")))


def _claim(one: Values) -> Claim:
    verdict = one.text("verdict")
    if verdict not in VERDICTS:
        raise GapError(f"{one.where}: {verdict!r} is no verdict; there are {', '.join(VERDICTS)}")
    effects = one.rows("effects") if "effects" in one else []
    starts = [effect.whole("starts") for effect in effects]
    return Claim(
        one.text("says"),
        one.shown("quotation"),
        one.shown("source"),
        one.shown("paper"),
        verdict,
        *VERDICTS[verdict],
        one.shown("because"),
        one.shown("rule"),
        _plots(effects),
        bool(starts) and min(starts) < FEW,
    )


def _plots(effects: list[Values]) -> tuple[Plot, ...]:
    """Put effects that measure the same on one scale."""
    quantities = dict.fromkeys(effect.shown("of") for effect in effects)
    return tuple(_plot(of, [effect for effect in effects if effect.shown("of") == of]) for of in quantities)


def _plot(of: str, effects: list[Values]) -> Plot:
    bounds = [
        [value for value in map(finite, effect.held.get("bounds") or ()) if value is not None] for effect in effects
    ]
    ends = [v for effect in effects for v in (effect.number("mean"), effect.maybe("low"), effect.maybe("high"))]
    seen = [v for v in (*ends, *(value for row in bounds for value in row)) if v is not None]
    scale = (min(seen), max(seen)) if min(seen) < max(seen) else (min(seen) - 0.5, max(seen) + 0.5)
    signed = any(" − " in effect.shown("name") for effect in effects)
    strips = (
        Strip(
            effect.text("name"),
            _said(effect, signed=signed),
            effect.number("mean"),
            effect.maybe("low"),
            effect.maybe("high"),
            tuple(row),
            scale,
        )
        for effect, row in zip(effects, bounds, strict=True)
    )
    return Plot(of, tuple(strips))


def _said(effect: Values, *, signed: bool) -> str:
    low, high = effect.maybe("low"), effect.maybe("high")
    return with_interval(effect.number("mean"), None if low is None or high is None else (low, high), signed=signed)
