"""What some studies need, on one screen: a line for each dataset, with the hours of work left and what is missing.

Before any start is made, it also says what the starts of each claim can decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bntt.analysis.accuracy.accuracy import FEW
from bntt.data.errors import DataError
from bntt.runs.training.estimate import spoken
from bntt.studies.claims import LEVEL, POWER, Claim, in_points
from bntt.studies.measures import metric_of
from bntt.studies.pool import why_data_is_missing
from bntt.studies.run_studies import StudyPlan
from bntt.studies.start_plan import PlannedRun, same_runs
from bntt.studies.study_file import Study
from bntt.studies.work_items import Action, WorkItem

EACH = 20
"""Most runs that are listed one by one."""
TOLD = 6
"""Most studies whose claims are listed one by one."""
GROUPS: dict[str, tuple[Action, ...]] = {"made": ("train",), "measured further": ("measure",)}


def counts(items: Sequence[WorkItem]) -> str:
    """Count the runs by what is done with them."""
    actions = Counter(item.action for item in items)
    return (
        f"{len(items)} runs: {actions['reuse']} are used again, {actions['measure']} are measured further, "
        f"{actions['train']} are made, {actions['cannot']} cannot be made"
    )


def missing(items: Sequence[WorkItem]) -> Iterator[str]:
    """Yield a line for each reason why runs cannot be made: how many, and how to get what is missing."""
    for why, count in Counter(_why(item) for item in items if item.action == "cannot").items():
        yield f"{count} cannot be made: {why}"


def check_possible(items: Sequence[WorkItem]) -> None:
    """Refuse studies for which nothing is here, and nothing can be made."""
    if items and all(item.action == "cannot" for item in items):
        raise DataError("nothing can be made: " + "; ".join(dict.fromkeys(map(_why, items))))


def overview(planned: StudyPlan, cores: int) -> Iterator[str]:
    """Yield the lines of a dry run."""
    items = planned.items
    if len(items) <= EACH:
        yield from _one_by_one(items)
    for title, actions in GROUPS.items():
        group = [item for item in items if item.action in actions]
        if group:
            yield f"{title}, by dataset:"
            yield from (f"  {name}: {_needs(some, cores)}" for name, some in _by_dataset(group))
    if lacking := [item for item in items if item.action == "cannot"]:
        yield "cannot be made, by what is missing:"
        for why in dict.fromkeys(map(_why, lacking)):
            yield f"  {why}: {_needs([item for item in lacking if _why(item) == why], cores)}"
    if len(planned.studies) <= TOLD:
        for study, runs in planned.studies:
            yield from decidable(study, runs)
    else:
        yield "what the starts of each claim can decide: bntt study NAME --dry-run"
    yield counts(items)
    if made := [item for item in items if item.action == "train"]:
        yield f"{_hours(made, cores)}; measurements come on top of it"
    yield from _memory([item for item in items if item.action in ("train", "cannot")])


def _memory(items: Sequence[WorkItem]) -> Iterator[str]:
    """Say how much memory the largest training takes."""
    costs = [(item.cost.peak_bytes, item.called) for item in items if item.cost is not None]
    if costs:
        most, called = max(costs, key=lambda one: one[0])
        yield f"memory by a model: {most / 2**30:,.1f} GiB for the largest training, {called}, beside its data"


def _one_by_one(items: Sequence[WorkItem]) -> Iterator[str]:
    words = {"reuse": "used again", "measure": "measured more", "train": "made"}
    for item in items:
        yield f"{words.get(item.action, 'cannot be made'):15} {item.called}: {item.why}"


def _by_dataset(items: Sequence[WorkItem]) -> Iterator[tuple[str, list[WorkItem]]]:
    for name in dict.fromkeys(item.recipe.data.name for item in items):
        yield name, [item for item in items if item.recipe.data.name == name]


def _why(item: WorkItem) -> str:
    return item.damaged or why_data_is_missing(item.recipe)


def _needs(items: Sequence[WorkItem], cores: int) -> str:
    """Count runs by the study that needs them first."""
    studies = Counter(item.called.partition(":")[0] for item in items)
    named = ", ".join(f"{study} ({count})" for study, count in studies.items())
    trained = "" if items[0].action == "measure" else f", {_hours(items, cores)}"
    return f"{len(items)} runs of {named}{trained}"


def _hours(items: Sequence[WorkItem], cores: int) -> str:
    known = [item.seconds for item in items if item.seconds is not None]
    if not known:
        return "for a time that no model can estimate"
    beside = f", and {len(items) - len(known)} runs whose time no model can estimate" if len(known) < len(items) else ""
    return f"{spoken(sum(known) / cores)} of training by a model, on {cores} core{'s' * (cores > 1)}{beside}"


def decidable(study: Study, runs: Sequence[PlannedRun]) -> Iterator[str]:
    """Yield a line for each claim whose runs are made at a setting: the difference that its starts can decide."""
    seeds = {run.name: {start.seed for start in run.starts} for run in runs}
    claims = [claim for claim in study.claims if seeds.keys() >= set(claim.uses()[0])]
    tested = [bool(claim.quotation) for claim in claims if _fewest(claim, seeds) >= max(FEW, claim.fewest)]
    tests = {of_paper: tested.count(of_paper) for of_paper in (True, False)}
    same = same_runs(runs)
    if claims:
        families = f"by Holm's rule {tests[True]} tests of the paper's claims, {tests[False]} of questions of our own"
        yield f"{study.name}: what its starts can decide, in {POWER:.0%} of studies, {families}:"
    for number, claim in enumerate(claims, start=1):
        once = " (one of its runs is another by definition)" if same.keys() & set(claim.uses()[0]) else ""
        decides = _decides(study, claim, _fewest(claim, seeds), tests[bool(claim.quotation)])
        yield f"  {number}. {claim.says}: {decides}{once}"


def _fewest(claim: Claim, seeds: dict[str, set[int]]) -> int:
    """Return the fewest seeds that runs which are compared share."""
    return min(len(set.intersection(*(seeds[run] for run in group))) for group in claim.compared())


def _decides(study: Study, claim: Claim, starts: int, tests: int) -> str:
    if not starts:
        return "runs that it compares share no seed: it decides nothing"
    if starts < claim.fewest:
        asked = f" of {claim.fewest} that the rule asks for" if starts > 1 else ""
        return f"{starts} start{'s' * (starts > 1)}{asked}, shown, not tested: it decides nothing"
    few = starts < FEW
    spreads = {column.key: column.spread for column in study.table if column.spread is not None}
    units = {column.key: metric_of(column.metric).metric.unit for column in study.table}
    found = claim.decides(spreads, starts, LEVEL if few else LEVEL / max(tests, 1))
    said = " and ".join(
        f"{value:.2g}{in_points(units[key])} of {key} (spread {spreads[key]:g})" for key, value in found.items()
    )
    said = said or f"no spread is stated for {', '.join(claim.uses()[1])}"
    return f"{starts} starts, {'shown, not tested; by itself ' if few else ''}{said}"
