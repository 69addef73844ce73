"""A whole measurement in one folder: what somebody would write who wants to measure something of his own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Opened, Progress, Split
from bntt.analysis.result import Result, Shown
from bntt.charts.records import Axis, Bar, Bars
from bntt.charts.section import Cell, Section, Table, number


@dataclass(frozen=True)
class DrillArguments:
    power: Annotated[int, Ge(1)] = 1
    """Of each weight."""
    split: Split = "test"
    """Where the files belong."""


class DrillResult(Result):
    arguments: DrillArguments
    largest: Mapping[str, float]

    @property
    def conv1(self) -> Annotated[float, Shown("largest weight of conv1", metric="drill")]:
        return self.largest["conv1"]

    def rows(self):
        return [{"layer": name, "largest": value} for name, value in self.largest.items()]

    def section(self):
        table = Table("largest weights", ("layer", ""), tuple((Cell(n), number(v)) for n, v in self.largest.items()))
        chart = Bars(
            "Largest weights", Axis("weight", low=0), [*self.largest], [Bar("weight", [*self.largest.values()])]
        )
        return Section("Drill", tables=(table,), charts=(chart,))


def measure_drill(run: Opened, asked: DrillArguments, progress: Progress) -> DrillResult:
    layers = run.model.network.layers.items()
    largest = {name: float(part.synapse.weight.detach().abs().max() ** asked.power) for name, part in layers}
    return DrillResult(arguments=asked, dataset=run.dataset, split=asked.split, largest=largest)


DRILL = Measurement("drill", "Tell the largest weight of each layer.", DrillArguments, DrillResult, measure_drill)
