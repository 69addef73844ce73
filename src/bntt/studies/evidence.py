"""Evidence: the text files by which a run's numbers can be checked, packed as archives in a folder.

Of absolute paths only the last name is kept. Weights are not packed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from bntt.io.archive import SUFFIX, archives_in, pack, read_archive
from bntt.io.files import digest_of_bytes, digest_of_values, last_name, parse_json, write_json
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.pool import KeptRun, ann_place
from bntt.studies.study_result import StudyResult, summary_of

EVIDENCE = ("*.toml", "*.json", "*.jsonl", "measures/*.json")
"""Files of a run that its numbers can be checked with."""
TOLD_APART = ("recipe.toml", "environment.json", "evaluation.json")
"""Files that tell runs of one name apart."""


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
    """Archive the results in a folder; return the files that were written."""
    place.mkdir(parents=True, exist_ok=True)
    held = {path: dict(read_archive(path)) for path in archives_in(place)}
    evidence = Evidence(*held.values())
    archives = {place / f"{result.study.name}{SUFFIX}": _files(result, evidence) for result in results}
    for path, files in archives.items():
        _check_nothing_is_lost(path, held.get(path, {}), files)
    written = list[Path]()
    for result, (path, files) in zip(results, archives.items(), strict=True):
        written += [place / f"{result.study.name}.json", path]
        write_json(written[-2], strip_local_paths(summary_of(result)))
        pack(path, files)
    return written


def _files(result: StudyResult, evidence: Evidence) -> dict[str, bytes]:
    """Collect the files behind a result."""
    kept = [found.kept for found in result.found.values() if found.kept]
    return {name: content for run in kept for name, content in evidence.add(run).items()}


def _check_nothing_is_lost(archive: Path, there: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
    """Refuse to replace an archive that holds a file which the new one lacks."""
    if lost := sorted(name for name in there if name not in files):
        more = f" and {len(lost) - 1} more" * (len(lost) > 1)
        raise RecipeError(
            f"--pack: {archive} holds {lost[0]}{more}, which this result has not: read it too (--results FOLDER), or "
            f"pack into another place"
        )


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
