"""Packing evidence: a summary and an archive for each study in a folder, or one file for another machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

from bntt.io.archive import SUFFIX, archives_in, pack, pack_alone, read_archive, unpacked_alone, unpacked_listed
from bntt.io.files import find_object, write_json
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.evidence.collecting import Evidence, weights_of
from bntt.studies.evidence.portable import without_places
from bntt.studies.pool import KeptRun, kept_runs, measured_values, numerics_agree
from bntt.studies.run_studies import Folders, StudyPlan, results_of
from bntt.studies.study_file import OF_WEIGHTS
from bntt.studies.study_result import StartResult, StudyResult, summary_of
from bntt.studies.workers import Outcome

ROOM = 10_000_000
"""Bytes of all weights in a folder of evidence, or in a file, together."""


def pack_results(results: Sequence[StudyResult], place: Path) -> list[Path]:
    """Archive the results."""
    check_nothing_is_lost(results, place)
    evidence = Evidence()
    if place.name.endswith(SUFFIX):
        every = {name: content for result in results for name, content in _files(result, evidence).items()}
        weights = {name: content for result in results for name, content in weights_of(result, {}, evidence)}
        pack_alone(place, every | _that_fit(weights, ROOM))
        return [place]
    written = []
    place.mkdir(parents=True, exist_ok=True)
    held = dict[Path, dict[str, bytes]]()
    for path in archives_in(place):
        files = dict(read_archive(path))
        if path.name.startswith(OF_WEIGHTS):
            held[path] = files
        else:
            evidence.reserve(files)
    for result in results:
        written += [place / f"{result.study.name}.json", place / f"{result.study.name}{SUFFIX}"]
        write_json(written[-2], without_places(summary_of(result)))
        pack(written[-1], _files(result, evidence))
        written += _pack_weights(result, place, evidence, held)
    return written


def pack_finished(
    planned: StudyPlan, folders: Folders, outcomes: Sequence[Outcome], place: Path, device: str = "cpu"
) -> list[Path]:
    """Archive the finished runs of all studies that have some, while others are still being made."""
    apart = replace(planned, items=tuple(copy(item) for item in planned.items))  # work reads the items themselves
    found = results_of(apart, folders, outcomes, device)
    return pack_results([one for one in found if any(start.kept for start in one.found.values())], place)


def check_nothing_is_lost(results: Sequence[StudyResult], place: Path) -> None:
    """Refuse to replace evidence if some of it would be lost."""
    if place.name.endswith(SUFFIX):
        if place.is_file() and (lost := list(_lost(results, unpacked_alone(place), whole=True))):
            way = "pack into another file, or take that one in: --merge"
            raise RecipeError(f"--pack {place}: {place.name} there holds {_dropped(lost)}: {way} {place}")
        return
    for result in results:
        archive = place / f"{result.study.name}{SUFFIX}"
        told = find_object(place / f"{result.study.name}.json") or {}
        if told.get("setting", result.setting) != result.setting:
            raise RecipeError(
                f"--pack {place}: {result.study.name}.json there is of the {told['setting']} setting, and this is "
                f"of the {result.setting} one: pack it into another folder"
            )
        if archive.is_file() and (lost := list(_lost([result], unpacked_listed(archive)))):
            raise RecipeError(
                f"--pack {place}: {archive.name} there holds {_dropped(lost)}: read them too: --results {place}, or "
                f"pack into another folder"
            )


def _dropped(lost: Sequence[str]) -> str:
    more = f" and {len(lost) - 1} more" * (len(lost) > 1)
    return f"{lost[0]}{more}, which this result has not, and packing would drop {'them' if more else 'it'}"


def _lost(results: Sequence[StudyResult], folder: Path, *, whole: bool = False) -> Iterator[str]:
    """Name the runs of some results' starts, and measurements of them, which a folder has and the results lack."""
    kept = list(kept_runs([folder]))
    had: dict[str, list[KeptRun]] = {}
    for one in kept:
        if not one.unfinished and numerics_agree(one):
            had.setdefault(one.identity, []).append(one)
    every = [(result.study.name, of, found) for result in results for of, found in result.found.items()]
    for study, (name, seed), found in every:
        now: dict[str, set[str]] = {}
        for run in found.runs():
            now.setdefault(run.origin, set()).update(measured_values(run, found.start.measures))
        for text in dict.fromkeys(_lost_of_start(found, had.get(found.identity, []), now)):
            yield f"{text}start {seed} of {name} of {study}"
    wanted = {found.identity for _, _, found in every}
    if whole:
        yield from (f"{one.path.name}, of no start of these studies" for one in kept if one.identity not in wanted)
    if kept and not any(found.runs() for _, _, found in every):
        yield kept[0].path.name


def _lost_of_start(found: StartResult, had: Sequence[KeptRun], now: Mapping[str, set[str]]) -> Iterator[str]:
    """Name what the kept runs of a start have and the runs that are here lack."""
    for run in had:
        here = now.get(run.origin)
        if here is None:
            yield "another run of " if found.kept else ""
        elif more := measured_values(run, found.start.measures).keys() - here:
            yield f"{', '.join(sorted(more))} of "


def _files(result: StudyResult, evidence: Evidence) -> dict[str, bytes]:
    """Collect the files behind a result."""
    kept = [run for found in result.found.values() for run in found.runs()]
    return {name: content for run in kept for name, content in evidence.add(run).items()}


def _pack_weights(
    result: StudyResult, place: Path, evidence: Evidence, held: dict[Path, dict[str, bytes]]
) -> list[Path]:
    """Archive the weights of a result that no other archive of the folder holds; return the archive if there is one."""
    own = place / f"{OF_WEIGHTS}{result.study.name}{SUFFIX}"
    others = [path for path in held if path != own]
    there = {name: content for path in others for name, content in held[path].items()}
    weights = weights_of(result, there | held.get(own, {}), evidence)
    fitting = _that_fit(
        {name: content for name, content in weights if name not in there},
        ROOM - sum(path.stat().st_size for path in others),
    )
    if not fitting:
        return []
    pack(own, fitting)
    held[own] = fitting
    return [own]


def _that_fit(weights: Mapping[str, bytes], room: int) -> dict[str, bytes]:
    """Return the first weights that fit together, and warn of those that do not."""
    fitting: dict[str, bytes] = {}
    for name, content in weights.items():
        if len(content) <= room:
            fitting[name], room = content, room - len(content)
        else:
            warnings.warn(
                f"the weights {name} of {len(content):,} bytes are left out of the evidence: of {ROOM:,} bytes for all "
                f"weights {room:,} are left",
                stacklevel=2,
            )
    return fitting
