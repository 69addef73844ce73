"""The same faults before bntt, SpikingJelly and Lightning: ``make faults-peers``, or
``python -m tests.side_by_side --python PEERS [--only 66 79]``.

Each contender trains a small network on the same 640 images. Writes quality/peers.json, from which
``python docs/make.py peers`` makes the page.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from bntt.runs.environment import environment
from tests.side_by_side.contenders import contenders
from tests.side_by_side.faults import FAULTS

FILE = Path(__file__).parents[2] / "quality" / "peers.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.side_by_side", description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has the peers")
    parser.add_argument("--only", nargs="*", default=list(FAULTS), help="numbers of faults")
    chosen = parser.parse_args()
    facts, who = environment(), contenders(chosen.python.absolute())
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    for number in chosen.only:
        what, do = FAULTS[number]
        row = kept["faults"][number] = {"what": what, "outcomes": {}}
        for contender in who:
            with tempfile.TemporaryDirectory() as folder:
                said = do(contender, Path(folder)).replace(folder, "...")
            row["outcomes"][contender.name] = said = re.sub(r"'?/tmp/[^ ']+", "...", said)
            print(f"{number}, {what}; {contender.name}: {said}", flush=True)
    kept |= {
        "contenders": {contender.name: contender.what for contender in who},
        "faults": {number: kept["faults"][number] for number in FAULTS if number in kept["faults"]},
        **{key: facts[key] for key in ("bntt", "commit", "torch", "processor")},
    }
    FILE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
