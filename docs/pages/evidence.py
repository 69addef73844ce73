"""The evidence of docs/evidence/findings.md: the summaries of studies, and what was measured on their runs."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from bntt.analysis import paired_difference
from pages.claims import read
from pages.kept import RUNS, Facts, measured, spread

NOT_RUN = "*not run*"


class Evidence:
    """The summaries of all studies, asked for cells and claims."""

    def __init__(self) -> None:
        self.studies = read()

    def row(self, study: str, run: str) -> Facts:
        """Return the row of a run."""
        return next(row for row in self.studies[study]["table"]["rows"] if row["run"] == run)

    def cell(self, study: str, run: str, key: str, unit: str = "") -> str:
        """Return a number with its deviation and its number of starts."""
        cells = self.row(study, run)["cells"]
        found = cells.get(key)
        return f"{found['text']}{unit} ({found['n']})" if found else "–" if any(cells.values()) else NOT_RUN

    def mean(self, study: str, run: str, key: str) -> float:
        """Return the mean of a number over starts."""
        return mean(self.row(study, run)["cells"][key]["values"])

    def by_start(self, study: str, run: str, key: str) -> dict[int, float]:
        """Return a number of each start, by its seed."""
        return dict(zip(self._places(study, run), self.row(study, run)["cells"][key]["values"], strict=True))

    def difference(self, study: str, run: str, other: str, key: str = "accuracy") -> str:
        """Return by how many points one run is above another, paired by start."""
        return between(*(self.by_start(study, one, key) for one in (run, other)), "points")

    def energy(self, study: str, run: str, key: str, price: str) -> dict[int, float]:
        """Return an energy of all steps by the 45 nm table in µJ, or a ratio, by seed; pooled values have this price."""
        found = {}
        for seed, place in self._places(study, run).items():
            kept = measured(place, "energy")
            rows = (
                row for row in kept["energy"] if row["costs"] == "digital-45nm" and row["steps"] == max(kept["steps"])
            )
            (row,) = (row for row in rows if row["price"] in (price, "either"))
            found[seed] = row[key] if "over" in key else row[key] / 1e6
        return found

    def priced(self, study: str, run: str, key: str, price: str) -> str:
        """Return an energy, or a ratio, with its deviation and its number of starts."""
        values = [*self.energy(study, run, key, price).values()]
        return f"{spread(values, '.2f')} ({len(values)})"

    def _places(self, study: str, run: str) -> dict[int, Path]:
        starts = next(one for one in self.studies[study]["runs"] if one["name"] == run)["starts"]
        return {one["seed"]: RUNS / Path(one["directory"]).name for one in starts if one["state"] == "done"}

    def rows(self, study: str, keys: tuple[str, ...], runs: tuple[str, ...] = ()) -> list[list[str]]:
        """Return columns of the runs of a study, of all by default, ready for a table."""
        names = runs or tuple(row["run"] for row in self.studies[study]["table"]["rows"])
        return [[self.row(study, run)["label"], *(self.cell(study, run, key) for key in keys)] for run in names]

    def ran(self, study: str) -> list[Facts]:
        """Return the rows of a study that have numbers."""
        return [row for row in self.studies[study]["table"]["rows"] if any(row["cells"].values())]


def between(one: dict[int, float], other: dict[int, float], unit: str) -> str:
    """Return the difference of two numbers with its interval, paired by start."""
    found = paired_difference(one, other)
    low, high = found.interval
    return f"{found.mean:.2f} {unit} ({low:.2f} to {high:.2f})"
