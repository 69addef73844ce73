"""Charts as records, with two renderers: into files (PNG, PDF, SVG) and into the page."""

from bntt.charts.section import Cell as Cell
from bntt.charts.section import Section as Section
from bntt.charts.section import Table as Table
from bntt.charts.section import number as number
