"""Every measurement's numbers by two source trees: ``python -m tests.same_numbers OTHER/src RUN [RUN ...]``.

Each tree measures its own copy of each run. A row is a measurement of a run: how many values both trees write, how many
of them differ, and the places that only one of them has. Times are not compared.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = Path(__file__).parents[1] / "src"
CALLS = {
    "evaluate": {},
    "exit": {},
    "exit per sample": {"per_sample": True},
    "activity": {},
    "energy": {"steps": 3},
    "drift": {"images": 100},
    "neuron": {},
    "equivalence": {"images": 200},
    "card": {"images": 200},
    "robust": {"sigmas": (0.2, 0.6), "images": 200, "draws": 2},
    "attack": {"eps": ("4/255",), "images": 20, "eot": 2, "queries": 20, "draws": 2},
}
"""A measurement, its variant, and its arguments."""
TIMES = ("seconds", "milliseconds")
MEASURE = """
import json, sys, warnings, bntt
from bntt.studies.measures import named_metrics
warnings.simplefilter("ignore")
calls, run, found = json.loads(sys.argv[1]), sys.argv[2], {}
def read(metric, result):
    try:
        return metric.read(result, None)
    except Exception as error:  # of other runs, or at a place of its own
        return type(error).__name__
for name, arguments in calls.items():
    try:
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
        result = bntt.measure(name.split()[0], run, **arguments)
        named = {key: one for key, (kind, one) in named_metrics().items() if kind == name.split()[0]}
        metrics = {key: read(metric, result) for key, metric in named.items()}
        found[name] = {"json": result.to_json(), "csv": [dict(row) for row in result.rows()], "metrics": metrics}
    except Exception as error:
        found[name] = {"refused": type(error).__name__}
print(json.dumps(found, default=str))
"""


def found_by(source: Path, run: Path, names: list[str]) -> dict:
    """What a tree finds in its own copy of a run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(run, Path(folder, run.name), ignore=shutil.ignore_patterns("attack", "*.png")))
        settings = os.environ | {"PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"}
        calls = json.dumps({name: CALLS[name] for name in names})
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, calls, str(copy)], env=settings, cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout.replace(folder, ""))


def leaves(values, place=""):
    """Every number and text by its place."""
    if isinstance(values, dict):
        for key, value in values.items():
            if key not in TIMES and not key.endswith("_seconds"):
                yield from leaves(value, f"{place}.{key}")
    elif isinstance(values, list):
        for i, value in enumerate(values):
            yield from leaves(value, f"{place}.{i}")
    else:
        yield place, str(values)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("other", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--only", nargs="*", default=list(CALLS))
    asked = parser.parse_args()
    for run in asked.runs:
        ours, theirs = (found_by(source, run, asked.only) for source in (OURS, asked.other))
        for name in asked.only:
            one, other = dict(leaves(ours[name])), dict(leaves(theirs[name]))
            both = one.keys() & other.keys()
            different = [key for key in both if one[key] != other[key]]
            only = sorted(one.keys() ^ other.keys())
            print(f"{run.name:16} {name:16} {len(both):6} values, {len(different)} differ, {len(only)} of one tree")
            for key in [*different, *only][:4]:
                print(f"    {key}: {other.get(key)} -> {one.get(key)}")


if __name__ == "__main__":
    main()
