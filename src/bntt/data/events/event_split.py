"""Training and test parts for recordings published without them: fixed by the recordings' names, never overlapping."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bntt.data.errors import DataError
from bntt.data.events.recording import Events
from bntt.io.files import digest_of_text, read_json

TEST_SHARE = 0.1
"""Share of test recordings: 9,000 and 1,000 of CIFAR10-DVS."""


@dataclass(frozen=True)
class RecordingSplit:
    """Names of recordings, ``<class>/<file without its ending>``, each part in order."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of both lists: equal for equal splits."""
        lines = [f"{part} {name}\n" for part in ("train", "test") for name in getattr(self, part)]
        return digest_of_text("".join(lines))


def split_recordings(names: Iterable[str], test_share: float = TEST_SHARE) -> RecordingSplit:
    """Choose the same share of every class for testing: the names, without endings, of the lowest SHA-256."""
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be between 0 and 1, got {test_share}")
    classes = defaultdict[str, list[str]](list)
    for name in sorted(names):
        members = classes[name.partition("/")[0]]
        if members and members[-1] == name:
            raise DataError(f"{name} comes twice: its files differ only in their endings; remove one")
        members.append(name)
    test = set[str]()
    for label, members in classes.items():
        if len(members) < 2:
            raise DataError(f"class {label} has {len(members)} recording: training and test need one each")
        count = min(max(1, round(len(members) * test_share)), len(members) - 1)
        test |= set(sorted(members, key=digest_of_text)[:count])
    every = [name for members in classes.values() for name in members]
    return RecordingSplit(tuple(n for n in every if n not in test), tuple(n for n in every if n in test))


def content_of(events: Events) -> str:
    """Compute a digest of a recording's events, with times relative to the first: the same in every file format."""
    hasher = hashlib.sha256(f"{events.height}x{events.width}".encode())
    for values, kind in ((events.t - events.t[0], "<i8"), (events.x, "<u2"), (events.y, "<u2"), (events.p, "u1")):
        hasher.update(np.ascontiguousarray(values, kind).data)
    return hasher.hexdigest()


def refuse_overlap(contents: Mapping[str, Mapping[str, str]]) -> int:
    """Refuse the same recording in two parts."""
    seen, again = dict[str, tuple[str, str]](), 0
    for part, digests in contents.items():
        for name, content in digests.items():
            other, first = seen.setdefault(content, (part, name))
            if other != part:
                raise DataError(
                    f"{name} ({part}) and {first} ({other}) are the same recording: the test would contain a training "
                    f"recording; remove one"
                )
            again += first != name
    return again


def write_split(path: Path, split: RecordingSplit) -> None:
    """Write both lists and their digest, as JSON."""
    values = {"sha256": split.sha256, "train": split.train, "test": split.test}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_split(path: Path) -> RecordingSplit:
    """Read the file of :func:`write_split`."""
    try:
        values = read_json(path)
        split = RecordingSplit(tuple(values["train"]), tuple(values["test"]))
        unchanged = values["sha256"] == split.sha256
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}): prepare the recordings again") from None
    if not unchanged:
        raise DataError(f"{path} has changed since it was written (SHA-256): prepare the recordings again")
    return split
