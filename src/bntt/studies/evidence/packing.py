"""Packing evidence, the text files by which a run's numbers can be checked: archives in a folder, or one file.

Weights are kept of one start for each norm of a study, rounded to float16: to inspect a network, not to measure it.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import tomli_w
import torch

from bntt.io.archive import SUFFIX, archives_in, pack, pack_alone, read_archive, unpacked_alone, unpacked_listed
from bntt.io.checkpoint import CheckpointError, read_checkpoint, sealed_checkpoint
from bntt.io.files import digest_of_bytes, digest_of_values, find_object, write_json
from bntt.runs.directory import RunDirectory
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.evidence.portable import portable, without_places
from bntt.studies.pool import KeptRun, ann_place, kept_runs, measured_values, numerics_agree
from bntt.studies.run_studies import Folders, StudyPlan, results_of
from bntt.studies.study_file import OF_WEIGHTS
from bntt.studies.study_result import StudyResult, summary_of
from bntt.studies.workers import Outcome

ROOM = 10_000_000
"""Bytes of all weights in a folder of evidence, or in a file, together."""
EVIDENCE = ("*.toml", "*.json", "*.jsonl", "measures/*.json")
"""Files of a run that its numbers can be checked with."""
TOLD_APART = ("recipe.toml", "environment.json", "evaluation.json")
"""Files that tell runs of one name apart."""
WEIGHTS = "weights-float16.safetensors"
"""Checkpoint of rounded weights in a run's evidence; renamed to ``checkpoints/best.safetensors`` it opens the run."""


class Evidence:
    """Files behind some runs, each run in a folder of its own name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._names: dict[Path, str] = {}
        self._taken: dict[str, str] = {}

    def reserve(self, files: Mapping[str, bytes]) -> None:
        """Reserve the names of the runs of an archive, which are unpacked next to these."""
        for folder in (name.removesuffix("/recipe.toml") for name in files if name.endswith("/recipe.toml")):
            own = {file: files.get(f"{folder}/{file}", b"") for file in TOLD_APART}
            self._taken.setdefault(folder, _told_apart(own))

    def add(self, run: KeptRun) -> dict[str, bytes]:
        """Collect the files that a run's numbers can be checked with, and those of its ANN, by their names."""
        found: dict[str, bytes] = {}
        ann = ann_place(run.recipe, run.path, run.evaluation) if run.recipe.convert.ann else None
        called = self._add(ann, found) if ann else ""
        self._add(run.path, found, called if ann and called != ann.name else "")
        return found

    def name_of(self, run: KeptRun) -> str:
        """Return the name of the folder of a run, which is added if it is not yet here."""
        if run.path not in self._names:
            self.add(run)
        return self._names[run.path]

    def _add(self, folder: Path, found: dict[str, bytes], ann: str = "") -> str:
        """Collect the files of a folder, and return its name here."""
        own = {
            file.relative_to(folder).as_posix(): portable(file.name, file.read_bytes())
            for pattern in EVIDENCE
            for file in folder.glob(pattern)
        }
        if ann:
            values = tomllib.loads(own["recipe.toml"].decode())
            values["convert"]["ann"] = f".../{ann}"
            own["recipe.toml"] = tomli_w.dumps(values).encode()
        if folder not in self._names:  # its own name or, if another run has it, one with a digest
            content = _told_apart(own)
            names = (folder.name, f"{folder.name}-{content[:12]}")
            self._names[folder] = next(one for one in names if self._taken.setdefault(one, content) == content)
        name = self._names[folder]
        for file, data in own.items():  # copies of one run may have been measured on their own: the first stays
            found[f"{name}/{file}"] = self.files.setdefault(f"{name}/{file}", data)
        return name


def _told_apart(own: Mapping[str, bytes]) -> str:
    return digest_of_values([digest_of_bytes(own.get(file, b"")) for file in TOLD_APART])


def weights_of(result: StudyResult, there: Mapping[str, bytes], evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    """Yield rounded weights, with their names, of one start for each norm of a study."""
    starts: dict[tuple[str, str], list[KeptRun]] = {}
    for found in result.found.values():
        if found.kept and found.start.trained:
            network = found.start.recipe.network
            starts.setdefault((network.norm, network.neuron), []).append(found.kept)
    for runs in starts.values():
        every = {f"{evidence.name_of(run)}/{WEIGHTS}": run for run in runs}
        for name, run in sorted(every.items(), key=lambda one: one[0] not in there):
            if content := there.get(name) or _weights(run):
                yield name, content
                break


def _weights(run: KeptRun) -> bytes:
    """Return a run's best weights as a checkpoint; b"" if they are not here, or damaged."""
    if (run.path / WEIGHTS).is_file():
        return (run.path / WEIGHTS).read_bytes()
    try:
        tensors, facts = read_checkpoint(RunDirectory(run.path).best)
    except CheckpointError:
        return b""
    for name, value in tensors.items():
        if name.endswith(".weight") and value.dtype == torch.float32 and value.ndim > 1:
            tensors[name] = value.half()
    return sealed_checkpoint(tensors, without_places(facts) | {"rounded": "float16"})


def pack_results(results: Sequence[StudyResult], place: Path) -> list[Path]:
    """Archive the results, if nothing that was archived in this place would be lost."""
    check_nothing_is_lost(results, place)
    evidence = Evidence()
    if place.name.endswith(SUFFIX):
        every = {name: content for result in results for name, content in _files(result, evidence).items()}
        weights = {name: content for result in results for name, content in weights_of(result, {}, evidence)}
        pack_alone(place, every | _that_fit(weights, ROOM))
        return [place]
    written, held = list[Path](), dict[Path, dict[str, bytes]]()
    place.mkdir(parents=True, exist_ok=True)
    for path in archives_in(place):
        if path.name.startswith(OF_WEIGHTS):
            held[path] = dict(read_archive(path))
        else:
            evidence.reserve(dict(read_archive(path)))
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
        _refuse_loss(place, results, place, f"pack into another file, or take that one in: --merge {place}")
        return
    for result in results:
        told = find_object(place / f"{result.study.name}.json") or {}
        if told.get("setting", result.setting) != result.setting:
            raise RecipeError(
                f"--pack {place}: {result.study.name}.json there is of the {told['setting']} setting, and this is "
                f"of the {result.setting} one: pack it into another folder"
            )
        way = f"read them too: --results {place}, or pack into another folder"
        _refuse_loss(place, [result], place / f"{result.study.name}{SUFFIX}", way)


def _refuse_loss(place: Path, results: Sequence[StudyResult], archive: Path, way: str) -> None:
    """Name the runs of some results' starts, and measurements of them, which an archive has and the results lack."""
    if not archive.is_file():
        return
    kept = list(kept_runs([unpacked_alone(archive) if archive == place else unpacked_listed(archive)]))
    lost = list[str]()
    every = [(result.study.name, of, found) for result in results for of, found in result.found.items()]
    for study, (name, seed), found in every:
        here: dict[str, set[str]] = {}
        for run in found.runs():
            here.setdefault(run.origin, set()).update(measured_values(run, found.start.measures))
        for run in kept:
            if run.identity != found.identity or run.unfinished or not numerics_agree(run):
                continue
            more = measured_values(run, found.start.measures).keys() - here.get(run.origin, set())
            if run.origin not in here:
                lost.append(f"{'another run of ' if found.kept else ''}start {seed} of {name} of {study}")
            elif more:
                lost.append(f"{', '.join(sorted(more))} of start {seed} of {name} of {study}")
    wanted = {found.identity for _, _, found in every}
    if archive == place:
        lost += [f"{run.path.name}, of no start of these studies" for run in kept if run.identity not in wanted]
    if kept and not any(found.runs() for _, _, found in every):
        lost.append(kept[0].path.name)
    if lost := list(dict.fromkeys(lost)):
        others = f" and {len(lost) - 1} more" * (len(lost) > 1)
        dropped = f"{lost[0]}{others}, which this result has not, and packing would drop {'them' if others else 'it'}"
        raise RecipeError(f"--pack {place}: {archive.name} there holds {dropped}: {way}")


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
    new = {name: content for name, content in weights if name not in there}
    fitting = _that_fit(new, ROOM - sum(path.stat().st_size for path in others))
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
            told = f"the weights {name} of {len(content):,} bytes are left out of the evidence"
            warnings.warn(f"{told}: of {ROOM:,} bytes for all weights {room:,} are left", stacklevel=2)
    return fitting
