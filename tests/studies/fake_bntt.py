"""Stands in for ``python -m bntt.cli.job`` where a test is about the work and not about numbers.

``python fake_bntt.py FOLDER JOB``: every job is a line of FOLDER/diary, and leaves files as a training or a measurement
does, from FOLDER/made.json and FOLDER/made.safetensors. A training whose norm is "tab" fails with code 6.
"""

import json
import shutil
import sys
import time
import tomllib
from pathlib import Path

PAUSE = 0.02


def main():
    """One job."""
    folder, job = Path(sys.argv[1]), json.loads(sys.argv[2])
    with open(folder / "diary", "a", encoding="utf-8") as file:
        file.write(f"{job.get('measure', 'train')}\n")
    time.sleep(PAUSE)
    if "measure" in job:
        where = Path(job["folder"], f"{job['measure']}.json")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(json.dumps({"split": "test", "n": 1, "arguments": job["arguments"]}))
        return 0
    text = Path(job["train"]).read_text(encoding="utf-8")
    if 'norm = "tab"' in text:
        print("bntt: numbers are not finite", file=sys.stderr)
        return 6
    made, run = json.loads((folder / "made.json").read_text()), Path(job["root"], job["name"])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "made.safetensors", run / "checkpoints" / "best.safetensors")
    (run / "recipe.toml").write_text(text)
    (run / "environment.json").write_text(json.dumps({"data": {"sha256": made["sums"]}, "device": job["device"]}))
    recipe = tomllib.loads(text)
    rows = [json.dumps({"epoch": epoch}) for epoch in range(recipe["train"]["epochs"])]
    (run / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    draws = recipe["evaluate"]["draws"] if recipe["encoder"]["name"] == "poisson" else 1
    (run / "evaluation.json").write_text(json.dumps(made["evaluation"] | {"draws": draws}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
