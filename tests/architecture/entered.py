"""Files that a command enters: ``PYTHONPATH=SRC python tests/architecture/entered.py VERB ...``, for any source tree.

The rooms below measuring (engine, nn, ops, models, data, training) are left out, as they are no part of what a reader
of a measurement or a study follows. A return is a call into a file that was entered before, from another file than
last time; each pair of functions counts once, so that loops do not.
"""

import os
import sys
from pathlib import Path

import bntt
from bntt.cli import main

ROOT = str(Path(bntt.__file__).parent) + os.sep
BELOW = ("engine", "nn", "ops", "models", "data", "training", "bench")


def name_of(code) -> str:
    """The file of a function below the library; "" of any other, and of what is left out."""
    if not code.co_filename.startswith(ROOT):
        return ""
    name = code.co_filename.removeprefix(ROOT)
    return "" if name.split(os.sep)[0] in BELOW else name


def entered(arguments: list[str]) -> tuple[list[str], int]:
    """The files in the order of their first call, and the number of returns."""
    files, edges, returns = [], set(), 0

    def follow(frame, event, _):
        nonlocal returns
        if event != "call" or not (file := name_of(frame.f_code)) or frame.f_code.co_name == "<module>":
            return
        caller = frame.f_back and name_of(frame.f_back.f_code)
        if file == caller or (edge := (frame.f_back.f_code, frame.f_code)) in edges:
            return
        edges.add(edge)
        if file in files:
            returns += 1
        else:
            files.append(file)

    sys.setprofile(follow)
    try:
        main.main(arguments)
    finally:
        sys.setprofile(None)
    return files, returns


if __name__ == "__main__":
    found, again = entered(sys.argv[1:])
    print(*found, f"{len(found)} files, {again} returns", sep="\n", file=sys.stderr)
