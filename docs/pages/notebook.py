"""A tutorial as a notebook for examples/: the same cells, without outputs; links point to the same places."""

from __future__ import annotations

import json
import re

from pages.kept import ROOT

CELL = re.compile(r"```\{code-cell\} ipython3\n(.*?)\n```\n", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)]+)\)")


def notebook(tutorial: str) -> str:
    """Write a tutorial as a notebook."""
    page = ROOT / "docs" / "tutorials" / f"{tutorial}.md"
    body = page.read_text(encoding="utf-8").split("---\n", 2)[2]
    cells = []
    for number, text in enumerate(CELL.split(body)):
        if not (text := text.strip("\n")):
            continue
        kind = "code" if number % 2 else "markdown"
        text = text if number % 2 else LINK.sub(_moved, text)
        rest = {"execution_count": None, "outputs": []} if kind == "code" else {}
        source = text.splitlines(keepends=True)
        cells.append({"cell_type": kind, "id": f"{tutorial}-{number}", "metadata": {}, "source": source, **rest})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def _moved(link: re.Match[str]) -> str:
    """Return a link relative to examples/."""
    parts = f"docs/tutorials/{link[1]}".split("/")
    while ".." in parts:
        at = parts.index("..")
        del parts[at - 1 : at + 1]
    return f"](../{'/'.join(parts)})"
