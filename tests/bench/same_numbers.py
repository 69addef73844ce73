"""Every verb's numbers by two source trees: ``python -m tests.bench.same_numbers OTHER/src RUN [RUN ...]``.

Each tree measures its own copy of each run. A row is a verb on a run: how many numbers both files have at the same
place, how many of them differ, and the keys that only one of them has. Times are not compared.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = Path(__file__).parents[2] / "src"
VERBS = {
    "evaluate": ("evaluation", []),
    "exit": ("exit", []),
    "exit --per-sample": ("exit-per-sample", []),
    "activity": ("activity", []),
    "energy": ("energy", ["--steps", "3"]),
    "drift": ("drift", ["--images", "100"]),
    "neuron": ("neuron", []),
    "equivalence": ("equivalence", ["--images", "200"]),
    "deployment": ("deployment", ["--images", "200"]),
    "card": ("card", ["--images", "200"]),
    "robust": ("robust", ["--sigmas", "0.2", "0.6", "--images", "200", "--draws", "2"]),
    "attack": ("attack", ["--eps", "4/255", "--images", "20", "--eot", "2", "--queries", "20", "--draws", "2"]),
}
TIMES = ("seconds", "milliseconds")


def found_by(source: Path, run: Path, verb: str, folder: Path) -> dict:
    """What a tree's verb writes of its own copy of a run; {} where it refuses."""
    copy = folder / run.name
    if not copy.exists():
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("attack", "*.png"))
    stem, flags = VERBS[verb]
    (copy / f"{stem}.json").unlink(missing_ok=True)
    settings = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    name, *more = verb.split()
    command = [sys.executable, "-m", "bntt", name, str(copy), *more, *flags]
    subprocess.run(command, env=settings, capture_output=True, cwd=folder)
    file = copy / f"{stem}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def leaves(values, place=""):
    """Every number and text by its place; numbers that are none are None."""
    if isinstance(values, dict):
        for key, value in values.items():
            if key not in TIMES and not key.endswith("_seconds"):
                yield from leaves(value, f"{place}.{key}")
    elif isinstance(values, list):
        for i, value in enumerate(values):
            yield from leaves(value, f"{place}.{i}")
    else:
        yield place, None if isinstance(values, float) and values != values else values


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("other", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for run in asked.runs:
            for verb in VERBS:
                folders = [Path(place, name) for name in ("ours", "theirs")]
                for folder in folders:
                    folder.mkdir(exist_ok=True)
                ours, theirs = (
                    dict(leaves(found_by(source.resolve(), run, verb, folder)))
                    for source, folder in zip((OURS, asked.other), folders, strict=True)
                )
                both = ours.keys() & theirs.keys()
                different = [key for key in both if ours[key] != theirs[key]]
                only = sorted({key.split(".")[1] for key in theirs.keys() - ours.keys()})
                print(f"{run.name:20} {verb:18} {len(both):6} equal but {len(different)}; gone: {only}", flush=True)
                for key in different[:3]:
                    print(f"    {key}: {theirs[key]!r} -> {ours[key]!r}")


if __name__ == "__main__":
    main()
