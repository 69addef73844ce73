"""Stands in for ``python -m bntt`` where a test is about the work and not about numbers: writes what verbs write.

``python fake_bntt.py DIARY VERB ...``: every call is a line of the diary. A run whose norm is "tab" fails with code 6.
"""

import json
import sys
import time
import tomllib
from pathlib import Path

PAUSE = 0.02


def main():
    """One verb."""
    diary, verb, first, *rest = sys.argv[1:]
    with open(diary, "a", encoding="utf-8") as file:
        file.write(f"{verb} {first}\n")
    time.sleep(PAUSE)
    if verb != "train":
        Path(first, f"{verb}.json").write_text(json.dumps({"split": "test", "n": 1}))
        return 0
    words = dict(zip(rest[::2], rest[1::2], strict=False))
    text = Path(first).read_text(encoding="utf-8")
    if 'norm = "tab"' in text:
        print("bntt: numbers are not finite", file=sys.stderr)
        return 6
    run = Path(words["--root"], words["--name"])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    (run / "recipe.toml").write_text(text)
    sums = json.loads(Path(diary).with_suffix(".sums").read_text())
    (run / "environment.json").write_text(json.dumps({"data": {"sha256": sums}, "device": "cpu"}))
    rows = [json.dumps({"epoch": epoch}) for epoch in range(tomllib.loads(text)["train"]["epochs"])]
    (run / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    found = {"split": "test", "accuracy": 0.5, "spikes_per_image": 3.0, "seconds": 0.0, "accuracy_over_time": [0.5]}
    (run / "evaluation.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
