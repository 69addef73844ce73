"""Studies from files to results: make the missing runs, read the existing ones, write the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bntt.data.errors import DataError
from bntt.engine.compute import Precision
from bntt.io.files import last_name
from bntt.runs.recipe.datasets import build_data, data_key
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.studies.figures import save_figures
from bntt.studies.make_runs import Ended
from bntt.studies.pool import choose, measured_values
from bntt.studies.start_plan import PlannedRun, Start, plan_study
from bntt.studies.study_file import SettingName, Study
from bntt.studies.study_result import StartResult, StudyResult, directory_of, write_result
from bntt.studies.work_items import WorkItem, decide_actions, work_items


@dataclass(frozen=True)
class Folders:
    """Folders from which studies read and to which they write."""

    pool: Path = Path("runs/pool")
    results: tuple[Path, ...] = ()
    """Folders searched for kept runs, besides the pool; nothing is written there."""
    out: Path = Path("runs/studies")
    data: Mapping[str, str] = field(default_factory=dict)
    """``data.root`` by the name of the dataset."""
    precision: Precision = "fp32"
    """Precision of the gradients in new runs."""

    @property
    def folders(self) -> list[Path]:
        """List the folders that are searched, the pool first."""
        return [self.pool, *self.results]


@dataclass(frozen=True)
class StudyPlan:
    """Studies at one setting, and everything that they need."""

    setting: SettingName
    studies: tuple[tuple[Study, tuple[PlannedRun, ...]], ...]
    items: tuple[WorkItem, ...]

    def left(self) -> list[WorkItem]:
        """List the items that still need work."""
        return [item for item in self.items if item.action not in ("reuse", "cannot")]


def plan(studies: Sequence[Study], setting: SettingName, folders: Folders) -> StudyPlan:
    """Plan some studies: what they need, and what of it exists. Data found in its usual places is prepared."""
    for name, count in Counter(study.name for study in studies).items():
        if count > 1:
            raise RecipeError(f"{count} studies are called {name}, and would have one result: rename a file")
    for folder in folders.results:
        if not folder.is_dir():
            raise RecipeError(f"--results {folder}: is not a folder")
    planned = tuple((study, tuple(plan_study(study, setting, folders.data, folders.precision))) for study in studies)
    _check_sources([start.recipe for _, runs in planned for run in runs for start in run.starts])
    _prepare(planned)
    items = in_turn(work_items((study.name, runs) for study, runs in planned))
    decide_actions(items, folders.folders)
    return StudyPlan(setting, planned, tuple(items))


def in_turn(items: Sequence[WorkItem]) -> list[WorkItem]:
    """Order the work by seeds: the first start of every run comes before the second of any."""
    seeds = list(dict.fromkeys(item.start.seed for item in items))
    return sorted(items, key=lambda item: seeds.index(item.start.seed))


def _check_sources(recipes: Sequence[Recipe]) -> None:
    """Refuse source runs (``init.run``) of one name in two places: evidence identifies them by their names."""
    places: dict[str, str] = {}
    for place in (recipe.init.run for recipe in recipes if recipe.init.run):
        if (other := places.setdefault(last_name(place), place)) != place:
            raise RecipeError(f"init.run: {other} and {place} have one name: give one of the two runs another name")


def _prepare(planned: Sequence[tuple[Study, tuple[PlannedRun, ...]]]) -> None:
    """Prepare every dataset once, if its files are known; items report a missing one."""
    recipes = [run.starts[0].recipe for _, runs in planned for run in runs]
    for recipe in {data_key(recipe): recipe for recipe in recipes}.values():
        with suppress(DataError, RecipeError):
            build_data(recipe)


def results_of(
    planned: StudyPlan, folders: Folders, outcomes: Sequence[tuple[WorkItem, Ended]], device: str = "cpu"
) -> list[StudyResult]:
    """Collect the result of every study, from everything that exists now."""
    decide_actions(planned.items, folders.folders)
    how = {item.identity: ended for item, ended in outcomes}
    items = {called: item for item in planned.items for called in item.needed_by}
    results = []
    for study, runs in planned.studies:
        found = {
            (run.name, start.seed): _result_of(items[f"{study.name}: {run.name}, seed {start.seed}"], start, how)
            for run in runs
            for start in run.starts
        }
        results.append(StudyResult(study, planned.setting, runs, found, device))
    return results


def _result_of(item: WorkItem, start: Start, how: Mapping[str, Ended]) -> StartResult:
    ended, run = how.get(item.identity), choose(item.kept, start.measures.values())
    numbers = {} if run is None else measured_values(run, start.measures)
    missing = [name for name in start.measures if name not in numbers]
    if ended is not None and ended.code and (run is None or missing):
        return StartResult(start, "failed", ended.why, run, item.identity, numbers)
    if run is None:
        return StartResult(start, "not run", item.why, None, item.identity)
    why = f"without {', '.join(missing)}: {item.why}" if missing else ""
    return StartResult(start, "done", why, run, item.identity, numbers)


def write_results(results: Sequence[StudyResult], folders: Folders) -> list[Path]:
    """Draw and write every result; return the files."""
    written = []
    for result in results:
        folder = directory_of(result.study.name, result.setting, folders.out)
        folder.mkdir(parents=True, exist_ok=True)
        written.append(write_result(result, folder, save_figures(result, folder)))
    return written
