"""The measurements that the documents show, as the report reads them."""

from __future__ import annotations

import json

from bntt.studies.report.reading import Values
from tests.evidence import RESULTS


def values(run: str, name: str) -> Values:
    """Of a file of a kept run."""
    return Values(json.loads((RESULTS / run / f"{name}.json").read_text(encoding="utf-8")), f"{name}.json")


def texts(table, column: int) -> list[str]:
    """A column as it is read."""
    return [row[column].text for row in table.rows]
