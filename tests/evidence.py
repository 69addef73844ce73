"""The evidence behind the kept results, unpacked once a process: tests read the files of its runs."""

from pathlib import Path

from bntt.io.archive import unpacked

KEPT = Path(__file__).parents[1] / "results"
RESULTS = unpacked(KEPT)
"""A directory for each kept run, and ``bench`` for reports of the benchmark."""
