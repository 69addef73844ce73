"""What a bundle says of pictures: ``python -m bntt_runtime BUNDLE IMAGE...``.

The exit code is 0, or as bntt's: 2 for what was asked, 3 for a picture, 4 for the bundle, 5 for want of memory.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bntt_runtime import EVALUATION, BundleError, DataError, DeployError, Runtime, __version__

CODES = {DeployError: 2, DataError: 3, BundleError: 4, MemoryError: 5}
CRITERIA = ("gamma", "confidence", "margin", "entropy")
Stop = tuple[Any, float]
"""One of the criteria, and its threshold."""


def arguments() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = argparse.ArgumentParser(
        "python -m bntt_runtime",
        description="Classify images with a bundle that bntt export wrote, without PyTorch.",
        epilog="Example: python -m bntt_runtime clothes.safetensors shoe.png bag.jpg --invert",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the file that bntt export wrote")
    parser.add_argument("images", type=Path, metavar="IMAGE", nargs="+", help="JPEG, PNG, BMP, WebP, PPM, TIFF or GIF")
    parser.add_argument(
        "--exit",
        nargs=2,
        metavar=("CRITERION", "THRESHOLD"),
        help="stop early: gamma after the last step in which a layer's mean |γ| reaches THRESHOLD, the same for every "
        "image; confidence, margin or entropy as soon as an image reaches it, from 0 to 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise; 0 by default")
    parser.add_argument("--invert", action="store_true", help="show the negative, of images that are dark on light")
    parser.add_argument("--json", action="store_true", help="print all classes and exact numbers as JSON")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def answer(runtime: Runtime, sample: Any, seed: int, stop: Stop | int) -> tuple[Any, int]:
    """Return the confidence in each class, ``[K]``, and the number of steps that it took."""
    if isinstance(stop, int):
        logits, steps = runtime.run(sample, seed=seed, draw=EVALUATION, steps=stop)[0], stop
    else:
        said = runtime.answer(sample, *stop, seed=seed, draw=EVALUATION)
        logits, steps = said.logits[0], int(said.steps[0])
    shares = np.exp(logits.astype(np.float64) - logits.max())
    return shares / shares.sum(), steps


def show(given: argparse.Namespace, stop: Stop | None) -> None:
    """Print the answers."""
    runtime = Runtime(given.bundle)
    until: Stop | int = runtime.num_steps if stop is None else stop
    if stop is not None and stop[0] == "gamma":
        until = runtime.exit_step(stop[1])
    read = [(path, *runtime.read(path, invert=given.invert)) for path in given.images]
    rows: list[dict[str, Any]] = []
    for path, sample, changes in read:
        shares, steps = answer(runtime, sample, given.seed, until)
        label = runtime.classes[int(shares.argmax())]
        rows.append({"file": str(path), "changes": changes, "label": label, "steps": steps, "confidence": [*shares]})
    if given.json:
        head = {
            "network": str(given.bundle),
            "classes": runtime.classes,
            "seed": given.seed,
            "backend": runtime.backend,
        }
        print(json.dumps(head | {"images": rows}, indent=1))
        return
    print(f"{given.bundle}: {len(runtime.classes)} classes, {runtime.num_steps} steps, run by {runtime.backend}")
    for row in rows:
        done = f" ({', '.join(row['changes'])})" if row["changes"] else ""
        took = f"after {row['steps']} of {runtime.num_steps} steps"
        print(f"{row['file']}: {row['label']}, {max(row['confidence']):.1%}, {took}{done}")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name may have characters that its encoding lacks
    parser = arguments()
    given, stop = parser.parse_args(args), None
    if given.exit:
        criterion, threshold = given.exit
        if criterion not in CRITERIA:
            parser.error(f"--exit {criterion}: choose one of {', '.join(CRITERIA)}")
        try:
            stop = criterion, float(threshold)
        except ValueError:
            parser.error(f"--exit {criterion} {threshold}: the threshold must be a number")
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        show(given, stop)
    except tuple(CODES) as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return next(code for kind, code in CODES.items() if isinstance(error, kind))
    return 0


if __name__ == "__main__":
    sys.exit(main())
