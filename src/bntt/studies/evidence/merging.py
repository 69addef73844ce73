"""Runs from another machine: an archive of ``bntt study --pack FILE``, checked and unpacked into the pool.

A run is its content: an archive's runs have the names that they have in every pool, with their device and commit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bntt.io.archive import unpack_alone
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import find_object
from bntt.runs.environment import NUMERICS
from bntt.studies.evidence.portable import without_places
from bntt.studies.pool import KeptRun, kept_run

OF_A_MACHINE = {"commit", "bntt", "arguments", "weights_sha256"}
"""Keys of a measurement whose values may differ between two machines, like times: weights files contain paths."""


def merge(archive: Path, pool: Path) -> list[str]:
    """Unpack the runs of an archive that the pool lacks, once all of them are checked; return a line for each."""
    made, lines = pool / "logs" / "merging", list[str]()
    shutil.rmtree(made, ignore_errors=True)
    try:
        unpack_alone(archive, made)
        for run in [_checked(archive, place, pool) for place in sorted(made.iterdir()) if place.is_dir()]:
            target = pool / run.path.name
            if target.exists():
                lines.append(f"already here: {target}")
            else:
                run.path.rename(target)  # a whole one, or none
                lines.append(f"merged: {target}, {run.made_on}")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return lines


def _checked(archive: Path, place: Path, pool: Path) -> KeptRun:
    """Read a run of an archive; refuse one whose name is not its content's, or that contradicts the pool's."""
    run, where = kept_run(place), f"{archive}: {place.name}"
    if run is None:
        raise CheckpointError(f"{where} is no run that was measured on the test images: pack it again")
    if run.unfinished:
        raise CheckpointError(f"{where} {run.unfinished}: finish it where it was made, and pack it again")
    if not run.is_named:
        raise CheckpointError(
            f"{where} does not end with the digest of its recipe, its data and numerics {NUMERICS}: it was not made by "
            f"a study, or by a version of other numerics; make it again"
        )
    for file in ("evaluation.json", *sorted(f"measures/{one.name}" for one in (place / "measures").glob("*.json"))):
        mine, theirs = (find_object(one / file) for one in (place, pool / place.name))
        if theirs is not None and _numbers(mine) != _numbers(theirs):
            raise CheckpointError(
                f"{where}/{file} has other numbers than {pool / place.name} ({run.made_on} here): machines may round "
                f"otherwise, so keep one of the two"
            )
    return run


def _numbers(values: Any) -> str:
    """Return the numbers of a measurement as text, in which NaN is the same as NaN."""
    return json.dumps(_bare(values), sort_keys=True)


def _bare(values: Any) -> Any:
    """Return values without the times that they took, and without the paths of a machine."""
    if isinstance(values, Mapping):
        own = {key for key in values if key in OF_A_MACHINE or key.endswith("seconds")}
        return {key: _bare(value) for key, value in values.items() if key not in own}
    return [_bare(one) for one in values] if isinstance(values, list) else without_places(values)
