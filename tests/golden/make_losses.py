"""Write tests/golden/losses.json: losses of small trainings, by which a change of the numerics is noticed.

    python -m tests.golden.make_losses

Only after ``NUMERICS`` in src/bntt/runs/environment.py was raised, or an option got a version of its own in
src/bntt/runs/identity.py; with a line under *Numerics* in CHANGELOG.md.
"""

import json
from pathlib import Path

from bntt.runs.environment import NUMERICS
from tests.golden.losses import CASES, NUMERICS_KEY, WEIGHTS_KEY, losses, sizes_of_weights

FILE = Path(__file__).parent / "losses.json"


def main() -> None:
    """Train every case and keep its losses."""
    found = {name: losses(name) for name in CASES}
    found[WEIGHTS_KEY] = sizes_of_weights()
    FILE.write_text(json.dumps({NUMERICS_KEY: NUMERICS, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
