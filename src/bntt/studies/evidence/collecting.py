"""The files of a run that are evidence, and the weights that go with them.

Evidence are the texts that a run's numbers can be checked with. Of weights there is one start for each norm of a study,
rounded to float16: enough to look into a network, too little to measure in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from bntt.io.checkpoint import CheckpointError, read_checkpoint, sealed_checkpoint
from bntt.runs.directory import RunDirectory
from bntt.studies.evidence.portable import portable, without_places
from bntt.studies.pool import KeptRun, ann_place
from bntt.studies.study_result import StudyResult

EVIDENCE = ("*.toml", "*.json", "*.jsonl", "measures/*.json")
"""Files of a run that its numbers can be checked with."""
WEIGHTS = "weights-float16.safetensors"
"""File of rounded weights in a run's evidence, a checkpoint: as ``checkpoints/best.safetensors`` it opens the run."""


def evidence_of(run: KeptRun) -> dict[str, bytes]:
    """Collect the files that a run's numbers can be checked with, and those of its ANN, by their names.

    Absolute paths in them are shortened to ``.../NAME``.
    """
    folders = [run.path]
    if run.recipe.convert.ann:
        folders.append(ann_place(run.recipe, run.path, run.evaluation))
    return {
        f"{folder.name}/{file.relative_to(folder).as_posix()}": portable(file.name, file.read_bytes())
        for folder in folders
        for pattern in EVIDENCE
        for file in folder.glob(pattern)
    }


def weights_of(result: StudyResult, there: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield rounded weights, with their names, of one start for each norm of a study.

    It is the first, in the order of its runs and seeds, whose weights are here and whole; one whose weights were kept
    before comes before all others, as it was kept.

    Args:
        there: the weights that were kept before, by the same names.
    """
    starts: dict[tuple[str, str], list[KeptRun]] = {}
    for found in result.found.values():
        if found.kept and found.start.trained:
            network = found.start.recipe.network
            starts.setdefault((network.norm, network.neuron), []).append(found.kept)
    for runs in starts.values():
        every = {f"{run.path.name}/{WEIGHTS}": run for run in runs}
        for name, run in sorted(every.items(), key=lambda one: one[0] not in there):
            if content := there.get(name) or _weights(run):
                yield name, content
                break


def _weights(run: KeptRun) -> bytes:
    """Return a run's best weights as a checkpoint; b"" if they are not here, or damaged.

    Those of synapses are in float16, all else is as it was.
    """
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
