"""Evidence: the text files by which a run's numbers can be checked, packed as archives in a folder, or as one file.

Weights are kept of one start for each norm of a study, rounded to float16: to inspect a network, not to measure it.
Of absolute paths only the last name is kept.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w
import torch

from bntt.io.archive import SUFFIX, archives_in, pack, pack_alone, read_alone, read_archive, unpack_alone
from bntt.io.checkpoint import CheckpointError, read_checkpoint, sealed_checkpoint
from bntt.io.files import digest_of_bytes, digest_of_values, find_object, last_name, parse_json, write_json
from bntt.runs.directory import RunDirectory
from bntt.runs.environment import NUMERICS
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.pool import KeptRun, ann_place, kept_run
from bntt.studies.study_file import OF_WEIGHTS
from bntt.studies.study_result import StudyResult, summary_of

ROOM = 10_000_000
"""Bytes of all weights in a folder of evidence, or in a file, together."""
EVIDENCE = ("*.toml", "*.json", "*.jsonl", "measures/*.json")
"""Files of a run that its numbers can be checked with."""
TOLD_APART = ("recipe.toml", "environment.json", "evaluation.json")
"""Files that tell runs of one name apart."""
WEIGHTS = "weights-float16.safetensors"
"""Checkpoint of rounded weights in a run's evidence; renamed to ``checkpoints/best.safetensors`` it opens the run."""
OF_A_MACHINE = {"commit", "bntt", "arguments", "weights_sha256"}
"""Keys of a measurement whose values may differ between two machines, like times: weights files contain paths."""


class Evidence:
    """Files behind some runs, each run in a folder of its own name; those of ``there`` are unpacked beside them."""

    def __init__(self, *there: Mapping[str, bytes]) -> None:
        self.files: dict[str, bytes] = {}
        self._names: dict[Path, str] = {}
        self._taken: dict[str, str] = {}
        for files in there:
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


def pack_results(results: Sequence[StudyResult], place: Path) -> list[Path]:
    """Archive the results; return the files that were written."""
    if place.name.endswith(SUFFIX):
        there = read_alone(place) if place.is_file() else {}
        evidence = Evidence(there)
        every = {name: content for result in results for name, content in _files(result, evidence).items()}
        _check_nothing_is_lost(place, there, every)
        weights = {name: content for result in results for name, content in weights_of(result, {}, evidence)}
        pack_alone(place, every | _that_fit(weights, ROOM))
        return [place]
    place.mkdir(parents=True, exist_ok=True)
    held = {path: dict(read_archive(path)) for path in archives_in(place)}
    evidence = Evidence(*held.values())
    archives = {place / f"{result.study.name}{SUFFIX}": _files(result, evidence) for result in results}
    for path, files in archives.items():
        _check_nothing_is_lost(path, held.get(path, {}), files)
    written = list[Path]()
    packed = {path: files for path, files in held.items() if path.name.startswith(OF_WEIGHTS)}
    for result, (path, files) in zip(results, archives.items(), strict=True):
        written += [place / f"{result.study.name}.json", path]
        write_json(written[-2], strip_local_paths(summary_of(result)))
        pack(path, files)
        own = place / f"{OF_WEIGHTS}{result.study.name}{SUFFIX}"
        others = {name: content for one, files in packed.items() if one != own for name, content in files.items()}
        chosen = weights_of(result, others | packed.get(own, {}), evidence)
        new = {name: content for name, content in chosen if name not in others}
        if fitting := _that_fit(new, ROOM - sum(one.stat().st_size for one in packed if one != own)):
            pack(own, fitting)
            packed[own] = fitting
            written.append(own)
    return written


def _files(result: StudyResult, evidence: Evidence) -> dict[str, bytes]:
    """Collect the files behind a result."""
    kept = [found.kept for found in result.found.values() if found.kept]
    return {name: content for run in kept for name, content in evidence.add(run).items()}


def _check_nothing_is_lost(archive: Path, there: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
    """Refuse to replace an archive that holds a file which the new one lacks."""
    if lost := sorted(name for name in there if name not in files and not name.endswith(WEIGHTS)):
        more = f" and {len(lost) - 1} more" * (len(lost) > 1)
        raise RecipeError(
            f"--pack: {archive} holds {lost[0]}{more}, which this result has not: read it too (--results FOLDER, or "
            f"--merge FILE), or pack into another place"
        )


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
    return sealed_checkpoint(tensors, strip_local_paths(facts) | {"rounded": "float16"})


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
    return [_bare(one) for one in values] if isinstance(values, list) else strip_local_paths(values)


ALONE = re.compile(
    r"(-{0,2}\w[\w.-]*=)?"  # a name that is given a path
    r"((?:file://[^/\n]*)?/(?:[^\s/]+/?|[^\n/]*/[^\n]*)|[A-Za-z]:\\[^\n]*|[A-Za-z]:/(?:[^\s/]+/?|[^\n/]+/[^\n]*)|\\\\\w[^\n]*)"
)
"""A text that is wholly an absolute path, of any system, or gives one to a name: ``images=/my data/cifar``."""
WITHIN = re.compile(
    r"""(?<=")(?:(?:file://[^/"]*)?/|[A-Za-z]:\\{1,2}|[A-Za-z]:/|\\{2,4}\w)[^"]+(?=")"""  # in quotation marks
    r"""|(?<!\w)file:/[^\s"',;]+"""
    r"""|(?:(?<![\w.:/\\~-])|(?<=(?<![\w-])-[IL]))(?:/[^\s"',;=/]+){2,}/?"""  # of two names or more, also behind -I
    r"""|(?<![\w.:/\\~-])[A-Za-z]:[\\/][^\s"',;=]*[\\/][^\s"',;=]+"""
    r"""|(?<![\w.:/\\~-])[A-Za-z]:\\[^\s"',;=]+"""
    r"""|(?<![\w.:/\\~-])\\\\\w[^\s"',;=]*"""
)
"""Absolute paths in the middle of a text, such as an argument of a command."""


def portable(name: str, content: bytes) -> bytes:
    """Replace every absolute path in a run's file by ``.../NAME``."""
    try:
        if name.endswith(".toml"):
            return _stripped(content, tomllib.loads, tomli_w.dumps)
        if name.endswith(".jsonl"):
            lines = content.splitlines(keepends=True)
            return b"".join(_stripped(line, parse_json, lambda kept: json.dumps(kept) + "\n") for line in lines)
        return _stripped(content, parse_json, lambda kept: json.dumps(kept, indent=1) + "\n")
    except ValueError:  # no text, TOML or JSON: nothing of it is read as a number, and whoever reads it says so
        return WITHIN.sub(_name, content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _stripped(content: bytes, load: Callable[[str], Any], dump: Callable[[Any], str]) -> bytes:
    found = load(content.decode("utf-8"))
    kept = strip_local_paths(found)
    return content if kept == found else dump(kept).encode()


def strip_local_paths(values: Any) -> Any:
    """Return values with ``.../NAME`` for every absolute path in their texts."""
    if isinstance(values, Mapping):
        return {strip_local_paths(key): strip_local_paths(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [strip_local_paths(value) for value in values]
    if not isinstance(values, str):
        return values
    alone = ALONE.fullmatch(values)
    text = f"{alone[1] or ''}.../{last_name(alone[2])}" if alone else WITHIN.sub(_name, values)
    for place in _own_places() if "/" in text or "\\" in text else ():
        text = re.sub(rf"{re.escape(place)}(?![\w.-])", "...", text)
    return text


@cache
def _own_places() -> list[str]:
    """List the working folder and the user's home, of which nothing is kept, wherever they occur."""
    found: list[Path] = []
    for place in (Path.cwd, Path.home):
        with suppress(OSError, RuntimeError):
            found.append(place())
    return [str(one) for one in found if len(one.parts) > 1]


def _name(found: re.Match[str]) -> str:
    return f".../{last_name(found.group())}"
