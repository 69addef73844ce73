"""Stop runs and let them go on: ``python -m tests.chaos stops|kills [--kills 200] [--ways N] [--keep FOLDER]``.

``stops``: every place of ``tests/chaos/stops.py``, every signal or failure that may come there, every way of training:
the run goes on, and must end with the bits of one that was left alone. ``kills``: SIGKILL at random times in a run that
keeps itself every second: what is there must be readable, and no more than the last second lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import kills
from tests.chaos.whole import stops


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", choices=["stops", "kills"])
    parser.add_argument("--kills", type=int, default=200, help="how many")
    parser.add_argument("--ways", type=int, default=99, help="how many ways of training")
    parser.add_argument("--places", default="", help="only places whose name holds this")
    parser.add_argument("--keep", type=Path, default=None, help="where runs are made, and left")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.keep or Path(folder)
        if chosen.what == "kills":
            return kills(place, chosen.kills)
        return stops(place, chosen.ways, chosen.places)


if __name__ == "__main__":
    sys.exit(main())
