"""quality/peers.md, from quality/peers.json, which ``make faults-peers`` measures."""

from __future__ import annotations

from pages.kept import ROOT, introduction, read_json, table


def page() -> str:
    """Make the whole of peers.md."""
    found = read_json(ROOT / "quality" / "peers.json")
    who = found["contenders"]
    rows = [
        [number, row["what"], *(row["outcomes"].get(name, "*not run*").replace("|", "/") for name in who)]
        for number, row in found["faults"].items()
    ]
    lines = [
        introduction("peers"),
        "",
        *(f"- {name}: {what}" for name, what in who.items()),
        "",
        *table(("fault", "what is done", *who), rows),
        "",
        f"bntt at commit {found['commit']}, {found['processor']}, one thread each.",
    ]
    return "\n".join(lines) + "\n"
