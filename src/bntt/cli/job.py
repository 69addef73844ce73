"""A process of a study: ``python -m bntt.cli.job [--with FILE] JOB`` trains a recipe or measures a run, as JOB says.

``{"train": FILE, "name": NAME, "root": FOLDER}`` begins or resumes a run; ``{"measure": NAME, "run": PATH,
"folder": FOLDER, "arguments": {...}}`` calls :func:`bntt.runs.measure.measure`. Signals, errors and exit codes are
those of ``bntt``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bntt.cli import main, signals
from bntt.io.memory import keep_freed_memory


def run_job(job: dict[str, Any]) -> None:
    """Do one job; numbers that cannot be used are marked in their file."""
    if "train" in job:
        from bntt.cli.train import train

        train(job["train"], name=job["name"], root=Path(job["root"]), or_resume=True, device=job["device"])
        return
    from bntt.runs.measure import measure

    measure(job["measure"], job["run"], device=job["device"], folder=Path(job["folder"]), **job["arguments"])


if __name__ == "__main__":
    signals.install()
    keep_freed_memory()
    sys.exit(main.run_safely(lambda: run_job(json.loads(*main.take_parts(sys.argv[1:])))))
