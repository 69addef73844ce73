"""The rule that compares two differences: whether the gap between two runs is smaller at another setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from bntt.analysis.accuracy.accuracy import FEW, Difference, paired_difference
from bntt.studies.claims.claim import (
    NONE_SAME,
    Answer,
    Claim,
    Numbers,
    Same,
    Verdict,
    all_agree,
    could_see,
    with_starts,
)
from bntt.studies.claims.pairs import difference, effect_of, two_sided
from bntt.studies.claims.power import above
from bntt.studies.claims.words import KEYS, Names


class Closes(Claim):
    """``closes``: the lead of one run over another is smaller between two later runs, such as those trained longer."""

    rule: Literal["closes"]
    scatter: ClassVar[float] = 2.0
    of: str
    """Column that is compared."""
    run: str
    than: str
    later: str
    later_than: str
    lower: bool = False
    """True if lower is better: the lead is then that of the lower one."""

    @property
    def side(self) -> Literal["above", "below"]:
        """Side on which the lead lies."""
        return "below" if self.lower else "above"

    def uses(self) -> tuple[list[str], list[str]]:
        return list(dict.fromkeys([self.run, self.than, self.later, self.later_than])), [self.of]

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        keys = [same.get(name, name) for name in (self.run, self.than, self.later, self.later_than)]
        every = names.all_runs(self.uses()[0], ", ")
        if len(set(keys)) < len(keys):
            return Verdict("not decided", f"two of {every} are one run by definition")
        rows = [numbers.get((key, self.of), {}) for key in keys]
        seeds = set.intersection(*(set(row) for row in rows))
        if not seeds:
            return Verdict("not run", f"{every} share no start with this number")
        run, than, later, later_than = ({seed: row[seed] for seed in seeds} for row in rows)
        first, second = paired_difference(run, than), paired_difference(later, later_than)
        sign, unit = -1 if self.lower else 1, units.get(self.of, "")
        lead = Difference(tuple(sign * value for value in first.values))
        closed = Difference(tuple(a - sign * b for a, b in zip(lead.values, second.values, strict=True)))
        answer, why = _judged(lead, closed)
        why = why or could_see(closed, unit) * (answer == "not decided")
        pairs = [names.pair(self.run, self.than), names.pair(self.later, self.later_than)]
        said = [
            f"{pairs[0]}: {difference(first, unit, self.side)}",
            f"{pairs[1]}: {difference(second, unit, self.side)}",
            f"closed by {difference(closed, unit, 'above')}{why}",
        ]
        told = zip([*pairs, "closed by"], (first, second, closed), strict=True)
        effects = tuple(effect_of(pair, self.of, found, unit, names) for pair, found in told)
        p = None if lead.n < 2 else max(min(1.0, 2 * above(lead.mean, lead.sd, lead.n)), two_sided(closed, 0.0))
        return Verdict(answer, with_starts("; ".join(said), lead.n), lead.n, p, effects)

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"{names.run(self.run)} leads {names.run(self.than)} in {names.column(self.of)} ({self.side}) by more than "
            f"{names.run(self.later)} leads {names.run(self.later_than)}: over the starts that all four share, the "
            f"95 % intervals of the first lead and of what the second is less, start by start, both lie above 0; does "
            f"not hold where the second lead is more, by the same intervals; not decided where no first lead is shown, "
            f"or fewer than {FEW} starts all agree"
        )


def _judged(lead: Difference, closed: Difference) -> tuple[Answer, str]:
    """Return the answer, and a note if there was no first lead to close, or all starts agree."""
    low, high = closed.interval or (0.0, 0.0)
    if lead.n < 2:
        return "not decided", ""
    if (lead.interval or (0.0, 0.0))[0] <= 0 or all_agree(lead.values):
        return "not decided", "; no first lead is shown that could close"
    if all_agree(closed.values):
        return "not decided", f"; all {closed.n} starts agree"
    return "holds" if low > 0 else "does not hold" if high < 0 else "not decided", ""
