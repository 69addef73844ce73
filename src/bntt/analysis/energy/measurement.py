"""Operations of a network for one image and their energy, compared with an ANN of the same architecture."""

from dataclasses import dataclass

import tyro

from bntt.analysis.measurement import Draws, Measurement, Split


@dataclass(frozen=True)
class EnergyArguments:
    """The flags of bntt energy."""

    split: Split = "test"
    """Split whose images are measured."""
    draws: Draws = 1
    """Number of draws, each with fresh noise."""
    steps: int | None = None
    """Compare all steps with a stop after this many; by default with the exit in the run's exit.json, if it has one."""
    costs: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A table of costs, by name or TOML file (docs/ideas/energy.md shows one), repeatable.

    By default all tables of the package; for an ANN, those that price arithmetic.
    """


ENERGY = Measurement(
    "energy",
    """Count synaptic operations from measured spikes, layer by layer, and compare their energy with an equal ANN's.

    Example: bntt energy runs/fashion-mnist --steps 8 --costs digital-45nm --costs my-chip.toml""",
    EnergyArguments,
    needs_spikes=False,
)
