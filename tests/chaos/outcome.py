"""What is left of a run: every bit of it that is not a clock's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bntt.io.checkpoint import Checkpoint, read_checkpoint
from bntt.runs.directory import RunDirectory

CLOCKS = {"seconds"}


def outcome(run: Path) -> dict[str, str]:
    """Digests of the last checkpoint, the best one, the metrics and the evaluation."""
    directory = RunDirectory(run)
    metrics = [json.loads(line) for line in directory.metrics.read_text(encoding="utf-8").splitlines()]
    return {
        "last": _of(directory.checkpoints.latest().checkpoint),
        "best": _of(read_checkpoint(directory.best)),
        "metrics": _digest(_timeless(metrics)),
        "evaluation": _digest(_timeless(json.loads((run / "evaluation.json").read_text(encoding="utf-8")))),
    }


def _of(checkpoint: Checkpoint) -> str:
    facts = _timeless(checkpoint.facts)
    return _digest({"facts": facts, "tensors": {n: _bytes(v) for n, v in sorted(checkpoint.tensors.items())}})


def _bytes(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _timeless(part) for key, part in value.items() if key not in CLOCKS}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
