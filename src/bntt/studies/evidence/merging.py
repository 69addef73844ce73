"""Evidence from another machine: an archive of ``bntt study --pack FILE``, checked against what is here and taken in.

A run is taken in as it is, with its device and its commit, if the recipe of a start, the checksums of the data and the
numerics version agree; nothing of it is made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bntt.io.archive import unpacked_alone
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import find_object
from bntt.runs.environment import NUMERICS, numerics_of
from bntt.runs.recipe.datasets import data_key
from bntt.studies.evidence.portable import without_places
from bntt.studies.pool import KeptRun, kept_run, kept_runs, numerics_agree
from bntt.studies.work_items import WorkItem

OF_A_MACHINE = {"commit", "bntt", "arguments", "weights_sha256"}
"""Keys of a measurement whose values may differ between two machines, like times: weights files contain paths."""


def take_in(archive: Path, items: Sequence[WorkItem], known: Sequence[Path]) -> tuple[Path, list[str]]:
    """Check an archive; return a folder with its runs, which lasts as long as this process, and a line for each run."""
    folder = unpacked_alone(archive)
    wanted = {item.identity: item for item in items}
    here: dict[str, list[KeptRun]] = {}
    by_data: dict[str, KeptRun] = {}
    for run in kept_runs(known):
        here.setdefault(run.identity, []).append(run)
        if run.identity in wanted and numerics_agree(run):
            by_data.setdefault(data_key(run.recipe, placed=False), run)
    lines, taken = list[str](), 0
    for run in _runs(archive, folder):
        item = wanted.get(run.identity)
        if item is None:
            lines.append(f"left out: {run.path.name}: no start of these studies at this setting")
            continue
        beside = by_data.setdefault(data_key(run.recipe, placed=False), run)
        _check(archive, run, item, here.setdefault(run.identity, []), beside)
        here[run.identity].append(run)
        taken += 1
        lines.append(f"taken in: {item.called}, {run.made_on}")
    if not taken:
        raise CheckpointError(
            f"{archive}: none of its {len(lines)} runs is a start of these studies: name the studies of the archive, "
            f"and pass --small if they were small"
        )
    return folder, lines


def _runs(archive: Path, folder: Path) -> Iterator[KeptRun]:
    """Yield the runs of an archive; refuse a folder that is not a measured run."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        run = kept_run(place)
        if run is None:
            raise CheckpointError(
                f"{archive}: {place.name} is no run that was measured on the test images: pack it again"
            )
        yield run


def _check(archive: Path, run: KeptRun, item: WorkItem, others: Sequence[KeptRun], beside: KeptRun) -> None:
    """Refuse a run that does not fit."""
    where = f"{archive}: {run.path.name} ({item.called})"
    if not numerics_agree(run):
        raise CheckpointError(
            f"{where} was made under numerics {numerics_of(run.environment)}, and this code has {NUMERICS}: the same "
            f"recipe gives other numbers; run it again with this version"
        )
    if run.unfinished:
        way = "finish it where it was made, or train it anew, and pack it again"
        raise CheckpointError(f"{where} {run.unfinished}: {way}")
    if item.sums is not None and run.data != item.sums:
        raise CheckpointError(f"{where} was made with other data than is here")
    if item.sums is None and run.data != beside.data:
        raise CheckpointError(
            f"{where} was made with other data than {beside.place}, and both are called {run.recipe.data.name}: their "
            f"numbers belong in no table together; say where your data is (--data), or name other studies"
        )
    for other in others:
        if other.data == run.data and numerics_agree(other) and (key := _difference(run, other)):
            raise CheckpointError(
                f"{where} has another {key} than the same start in {other.place} ({other.made_on}; this "
                f"{run.made_on}): machines may round otherwise, so keep one of the two, or give the other its own seed"
            )


def _difference(one: KeptRun, other: KeptRun) -> str:
    """Name the first number that differs between two runs of the same start; "" if all that both have agrees."""
    for key in ("accuracy_per_draw", "accuracy", "spikes_per_image", "updates"):
        if key in one.evaluation and key in other.evaluation and not _same(one.evaluation[key], other.evaluation[key]):
            return key
    for file in sorted((one.path / "measures").glob("*.json")):
        mine, theirs = find_object(file) or {}, find_object(other.path / "measures" / file.name)
        if theirs is not None and not _same(_bare(mine.get("values")), _bare(theirs.get("values"))):
            return file.stem.rpartition("-")[0]
    return ""


def _same(one: Any, other: Any) -> bool:
    """Return True if two values of JSON are the same; NaN is the same as NaN."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _bare(values: Any) -> Any:
    """Return measured values without the times that they took, and without the paths of a machine."""
    if isinstance(values, Mapping):
        own = {key for key in values if key in OF_A_MACHINE or key.endswith("seconds")}
        return {key: _bare(value) for key, value in values.items() if key not in own}
    return [_bare(one) for one in values] if isinstance(values, list) else without_places(values)
