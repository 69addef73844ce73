"""What a study's starts can decide, said before any of them is made: a line for each claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bntt.analysis.accuracy.accuracy import FEW
from bntt.studies.claims.claim import Claim, in_points
from bntt.studies.claims.power import LEVEL, POWER
from bntt.studies.measures import metric_of
from bntt.studies.start_plan import PlannedRun, same_runs
from bntt.studies.study_file import Study


def decidable(study: Study, runs: Sequence[PlannedRun]) -> Iterator[str]:
    """Yield a line for each claim whose runs are made at a setting: the difference that its starts can decide.

    Differences are by :mod:`bntt.studies.claims.power`, from the spread that the study's columns state, runs taken for
    independent, and the strictest level that Holm's rule may ask for among the paper's claims, or our own questions.
    """
    starts = {run.name: len(run.starts) for run in runs}
    claims = [claim for claim in study.claims if starts.keys() >= set(claim.uses()[0])]
    tested = [bool(claim.quotation) for claim in claims if claim.tested and _fewest(claim, starts) >= FEW]
    tests = {of_paper: tested.count(of_paper) for of_paper in (True, False)}
    same = same_runs(runs)
    if claims:
        families = f"by Holm's rule {tests[True]} tests of the paper's claims, {tests[False]} of questions of our own"
        yield f"{study.name}: what its starts can decide, in {POWER:.0%} of studies, {families}:"
    for number, claim in enumerate(claims, start=1):
        once = " (one of its runs is another by definition)" if same.keys() & set(claim.uses()[0]) else ""
        decides = _decides(study, claim, _fewest(claim, starts), tests[bool(claim.quotation)])
        yield f"  {number}. {claim.says}: {decides}{once}"


def _fewest(claim: Claim, starts: dict[str, int]) -> int:
    return min(starts[run] for run in claim.uses()[0])


def _decides(study: Study, claim: Claim, starts: int, tests: int) -> str:
    if starts < 2:
        return "1 start, shown, not tested: it decides nothing"
    few = starts < FEW
    spreads = {column.key: column.spread for column in study.table if column.spread is not None}
    units = {column.key: metric_of(column.metric).metric.unit for column in study.table}
    found = claim.decides(spreads, starts, LEVEL if few else LEVEL / max(tests, 1))
    said = " and ".join(
        f"{value:.2g}{in_points(units[key])} of {key} (spread {spreads[key]:g})" for key, value in found.items()
    )
    said = said or f"no spread is stated for {', '.join(claim.uses()[1])}"
    return f"{starts} starts, {'shown, not tested; by itself ' if few else ''}{said}"
