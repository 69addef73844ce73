"""The files of a run that are evidence, and the weights that go with them.

Evidence is the text files by which a run's numbers can be checked. Weights are kept of one start for each norm of a
study, rounded to float16: enough to inspect a network, not enough to measure instead of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import tomli_w
import torch
from torch import Tensor

from bntt.io.checkpoint import CheckpointError, read_checkpoint, sealed_checkpoint
from bntt.io.files import digest_of_bytes, digest_of_values
from bntt.runs.directory import RunDirectory
from bntt.studies.evidence.portable import portable, without_places
from bntt.studies.pool import KeptRun, ann_place
from bntt.studies.study_result import StudyResult

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
            own["recipe.toml"] = _with_ann(own["recipe.toml"], ann)
        if folder not in self._names:
            self._names[folder] = self._free(folder.name, own)
        name = self._names[folder]
        for file, content in own.items():  # copies of one run may have been measured on their own: the first stays
            found[f"{name}/{file}"] = self.files.setdefault(f"{name}/{file}", content)
        return name

    def _free(self, name: str, own: Mapping[str, bytes]) -> str:
        """Return a name for a folder which no other run has: its own, or with a digest."""
        content = _told_apart(own)
        return next(one for one in (name, f"{name}-{content[:12]}") if self._taken.setdefault(one, content) == content)


def _told_apart(own: Mapping[str, bytes]) -> str:
    return digest_of_values([digest_of_bytes(own.get(file, b"")) for file in TOLD_APART])


def _with_ann(recipe: bytes, name: str) -> bytes:
    """Return the file of a recipe with another name of its ANN."""
    values = tomllib.loads(recipe.decode())
    return tomli_w.dumps({**values, "convert": {**values["convert"], "ann": f".../{name}"}}).encode()


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
    told = without_places(facts) | {"rounded": "float16"}
    return sealed_checkpoint({name: _halved(name, value) for name, value in tensors.items()}, told)


def _halved(name: str, value: Tensor) -> Tensor:
    return value.half() if name.endswith(".weight") and value.dtype == torch.float32 and value.ndim > 1 else value
