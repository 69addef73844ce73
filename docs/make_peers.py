"""Write docs/peers.md from docs/peer-faults.json, which ``make faults-peers`` measures.

    python docs/make_peers.py
"""

from __future__ import annotations

import json
import sys

from kept import HERE, table


def page() -> str:
    """The whole of peers.md."""
    found = json.loads((HERE / "peer-faults.json").read_text(encoding="utf-8"))
    who = found["contenders"]
    rows = [
        [number, row["what"], *(row["outcomes"].get(name, "*not run*").replace("|", "/") for name in who)]
        for number, row in found["faults"].items()
    ]
    lines = [
        (HERE / "peers-head.md").read_text(encoding="utf-8").rstrip(),
        "",
        *(f"- {name}: {what}" for name, what in who.items()),
        "",
        *table(("fault", "what is done", *who), rows),
        "",
        f"bntt at commit {found['commit']}, {found['processor']}, one thread each.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "peers.md").write_text(page(), encoding="utf-8")
    sys.stdout.write("wrote docs/peers.md\n")
