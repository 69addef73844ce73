"""A process of a study: ``python -m bntt.cli.job JOB`` trains one recipe or measures one run, as its JSON says.

``{"train": FILE, "name": NAME, "root": FOLDER}`` begins a run or takes it up; ``{"measure": NAME, "run": PATH,
"folder": FOLDER, "arguments": {...}}`` calls :func:`bntt.runs.measure.measure`. Signals, errors and exit codes are
those of ``bntt``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bntt.cli import main, signals


def do(job: dict[str, Any]) -> None:
    """Do one job.

    Raises:
        InvalidResultError: if what was measured is written, and worth nothing.
    """
    if "train" in job:
        from bntt.cli.train import train

        train(job["train"], name=job["name"], root=Path(job["root"]), or_resume=True, device=job["device"])
        return
    from bntt.analysis.measurement import InvalidResultError
    from bntt.runs.measure import measure

    folder = Path(job["folder"])
    found = measure(job["measure"], job["run"], device=job["device"], folder=folder, **job["arguments"])
    if found.invalid:
        raise InvalidResultError(found.invalid)


if __name__ == "__main__":
    signals.install()
    sys.exit(main.explained(lambda: do(json.loads(sys.argv[1]))))
