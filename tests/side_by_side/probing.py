"""Reading what a contender kept, in a process of its own environment: ``weights(contender, file)``."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.side_by_side.contenders import Contender

PROGRAM = """
import hashlib, json, sys, torch
path = sys.argv[1]
if path.endswith(".safetensors"):
    from safetensors.torch import load_file
    found = {k: v for k, v in load_file(path).items() if k.startswith("model.")}
else:
    whole = torch.load(path, map_location="cpu", weights_only=False)
    found = whole.get("net") or whole["state_dict"]
values = [v for v in found.values() if torch.is_tensor(v) and v.is_floating_point()]
digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in values)).hexdigest()
largest = max(float(v.abs().max()) for v in values)
print(json.dumps({"largest": largest, "digest": digest}))
"""


@dataclass(frozen=True)
class Weights:
    """Of one file that could be read."""

    largest: float
    digest: str


def weights(contender: Contender, path: Path) -> Weights | None:
    """What is in a checkpoint; None if it cannot be read."""
    done = subprocess.run(
        [str(contender.python), "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    return Weights(**json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None
