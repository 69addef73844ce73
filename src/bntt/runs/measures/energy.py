"""What a trained run's network does for an image, what that costs, and what an ANN of the same plan would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bntt.analysis.energy.operations import Operations, Price, count_operations
from bntt.runs.measures.costs import Digital, Energy, Table, Work, cost_names, load_costs
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import EXIT, kept_exit
from bntt.runs.open_run import LoadedRun
from bntt.runs.measures.evaluate import draws_of
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError

PRICES: tuple[Price, ...] = ("spikes", "values")
NOTE = (
    "an estimate by a table, not a measurement: published estimates of one network by different models disagree by "
    "several times; operations by layer are what is certain"
)
ANN_NOTE = (
    "this network is an ANN: its own multiply-accumulates are those of values that are not 0, beside which "
    "ANN: MAC has all of them"
)
LEFT_OUT = (
    "memory accesses",
    "pooling itself",
    "sums of residual blocks, and the readout's own over the steps",
    "random numbers and normalisation of the encoder",
    "zeros among an ANN's activations, and weights that are 0",
)


@dataclass(frozen=True)
class EnergyResult:
    """A run's network, counted on a whole split."""

    dataset: str
    split: str
    epoch: int
    operations: Operations
    stops: tuple[int, ...]
    """After how many steps it is stopped: all T, and an exit if there is one."""
    tables: dict[str, Table]
    """What operations cost, by name."""
    footprint: int
    """Bytes of parameters and buffers."""
    connection_sparsity: float
    """The share of weights that are 0."""
    is_ann: bool = False
    """Whether it has no spikes: its own operations are then the multiply-accumulates of values that are not 0."""

    def work(self, steps: int, price: Price, *, input_once: bool = False) -> Work:
        """Of one image until it is stopped; see :meth:`~bntt.analysis.Operations.synaptic`."""
        found = self.operations.synaptic(steps, price, input_once=input_once)
        updates = [layer.updates for layer in self.operations.layers.values()]
        additions = sum(float(one.additions[:steps].sum()) for one in updates)
        multiplications = sum(float(one.multiplications[:steps].sum()) for one in updates)
        return Work(*found, additions, multiplications, self.operations.spikes(steps), steps)

    @property
    def ann(self) -> Work:
        """Of an ANN of the same plan."""
        updates = sum(layer.updates.ann for layer in self.operations.layers.values())
        return Work(0.0, self.operations.dense, updates, 0.0, 0.0, 0)

    def ann_energy(self, table: Table) -> Energy | None:
        """What one image costs an ANN; None of a machine that pays for spikes."""
        return table.energy(self.ann) if isinstance(table, Digital) else None


def energy_run(
    loaded: LoadedRun,
    *,
    split: Split = "test",
    draws: int = 1,
    steps: int | None = None,
    costs: Sequence[str | Path] = (),
    progress: Callable[[int], None] = lambda images: None,
) -> EnergyResult:
    """Count the operations of every image of a split, and price them.

    Args:
        draws: repetitions with fresh noise.
        steps: an exit to compare with all T steps; None: that of the run's ``exit.json``, if it has one. Both come of
            one pass.
        costs: tables by name or path; () is all that are built in, of an ANN those that do not pay for spikes.

    Raises:
        RecipeError: on a table that cannot be used, an exit beyond the network's steps, or more than one draw where
            nothing is drawn.
    """
    tables = _tables(costs or cost_names())
    is_ann = loaded.recipe.network.neuron == "relu"
    if is_ann and not costs:
        tables = {name: table for name, table in tables.items() if isinstance(table, Digital)}
    exits = exit_of(loaded, steps)
    loader = loaded.loader(split)
    draws = draws_of(loaded.recipe, draws)
    found = count_operations(loaded.model, loader, seed=loaded.recipe.seed, draws=draws, progress=progress)
    network = loaded.model.network
    held = [*network.parameters(), *network.buffers()]
    weights = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    stops = tuple(dict.fromkeys([found.num_steps, exits or found.num_steps]))
    footprint = sum(tensor.nbytes for tensor in held)
    return EnergyResult(loaded.data.label, split, loaded.epoch, found, stops, tables, footprint, zeros, is_ann)


def _tables(sources: Sequence[str | Path]) -> dict[str, Table]:
    """By the names of their files."""
    names = [Path(source).stem for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RecipeError(f"--costs: two tables are called {twice[0]!r}, and one would hide the other: rename a file")
    return {name: load_costs(source) for name, source in zip(names, sources, strict=True)}


def exit_of(loaded: LoadedRun, steps: int | None) -> int | None:
    """After how many steps to stop: what is asked for, or what ``bntt exit`` chose for the run; None if nothing does.

    Raises:
        RecipeError: if what is asked for is no count of the network's steps.
        CheckpointError: if the exit that is kept is damaged, or was chosen for other weights or data.
    """
    total = loaded.recipe.network.num_steps
    if steps is None:
        run = RunDirectory(loaded.path)
        return kept_exit(run, total) if (run.path / EXIT).exists() else None
    if not 1 <= steps <= total:
        raise RecipeError(f"--steps {steps}: must be a number of steps from 1 to {total}, as the network has")
    return steps


def layer_rows(result: EnergyResult) -> Iterator[dict[str, Any]]:
    """Every layer's operations for one image, for every stop."""
    for steps in result.stops:
        for name, layer in result.operations.layers.items():
            by_value = layer.synaptic(steps, "values")
            yield {
                "steps": steps,
                "layer": name,
                "input": layer.arrives,
                "neurons": layer.neurons,
                "spikes": float(layer.spikes[:steps].sum()),
                "additions_by_spike": layer.synaptic(steps, "spikes").additions,
                "macs_by_spike": layer.synaptic(steps, "spikes").macs,
                "additions_by_value": by_value.additions,
                "macs_by_value": by_value.macs,
                "update_additions": float(layer.updates.additions[:steps].sum()),
                "update_multiplications": float(layer.updates.multiplications[:steps].sum()),
                "ann_macs": layer.dense,
                "ann_update_additions": layer.updates.ann,
            }


def energy_rows(result: EnergyResult) -> Iterator[dict[str, Any]]:
    """What one image costs, by table, stop and price; ``ann_over_snn`` above 1: the spiking network costs less.

    Where a table asks the same for both prices, one row says "either".
    """
    for name, table in result.tables.items():
        ann = result.ann_energy(table)
        for steps in result.stops:
            costs = {price: table.energy(result.work(steps, price)) for price in PRICES}
            for price, snn in costs.items() if len(set(costs.values())) > 1 else [("either", costs["spikes"])]:
                yield {
                    "costs": name,
                    "unit": table.unit,
                    "steps": steps,
                    "price": price,
                    "snn_synaptic": snn.synaptic,
                    "snn_other": snn.other,
                    "snn": snn.total,
                    "ann_synaptic": None if ann is None else ann.synaptic,
                    "ann_other": None if ann is None else ann.other,
                    "ann": None if ann is None else ann.total,
                    "ann_over_snn": _ratio(ann and ann.total, snn.total),
                    "ann_over_snn_synaptic": _ratio(ann and ann.synaptic, snn.synaptic),
                }


def counted(steps: int) -> str:
    """A number of steps in words.

    >>> counted(1), counted(2)
    ('1 step', '2 steps')
    """
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def readable(largest: float, unit: str) -> tuple[float, str]:
    """What to multiply energies by, so that the numbers can be read, and their unit then.

    >>> readable(2_500.0, "pJ")
    (0.001, 'nJ')
    """
    if unit != "pJ":
        return 1.0, unit
    return next(((scale, name) for scale, name in ((1e-6, "µJ"), (1e-3, "nJ")) if largest * scale >= 1), (1.0, unit))


def _ratio(one: float | None, other: float) -> float | None:
    return None if one is None or other == 0 else one / other


def neurobench(result: EnergyResult, steps: int) -> dict[str, Any]:
    """The algorithm track's metrics (Yik et al. 2025) under its names, of one image stopped after so many steps.

    Effective_ACs are operations of single spikes, Effective_MACs those of all other values that are not 0.
    """
    found, layers = result.operations, result.operations.layers.values()
    effective = found.synaptic(steps, "values")
    places = steps * sum(layer.neurons for layer in layers)
    return {
        "footprint": result.footprint,
        "connection_sparsity": result.connection_sparsity,
        "activation_sparsity": None if result.is_ann else 1 - found.spikes(steps) / places if places else 1.0,
        "synaptic_operations": {
            "Effective_MACs": effective.macs,
            "Effective_ACs": effective.additions,
            "Dense": found.dense * steps,
        },
        "classification_accuracy": found.accuracy.over_time[steps - 1],
    }


def as_json(result: EnergyResult) -> dict[str, Any]:
    """The numbers of a result with their names, ready for ``json``."""
    found = result.operations
    values: dict[str, Any] = {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "images": found.accuracy.samples,
        "draws": len(found.accuracy.correct),
        "steps": list(result.stops),
        "note": NOTE,
        "is_ann": result.is_ann,
        "left_out": list(LEFT_OUT),
        "neurobench": {str(steps): neurobench(result, steps) for steps in result.stops},
        "accuracy_over_time": found.accuracy.over_time,
        "layers": list(layer_rows(result)),
        "per_step": {name: _per_step(layer) for name, layer in found.layers.items()},
        "ann": {"macs": found.dense, "update_additions": result.ann.update_additions},
        "energy": list(energy_rows(result)),
        "costs": {name: table.model_dump() for name, table in result.tables.items()},
    }
    if found.constant_input:
        once = {str(steps): found.synaptic(steps, "values", input_once=True)._asdict() for steps in result.stops}
        values["operations_by_value_if_the_input_current_is_computed_once"] = once
    return values


def _per_step(layer: Any) -> Mapping[str, list[float]]:
    return {
        "spikes": layer.spikes.tolist(),
        "operations_by_spike": layer.events.tolist(),
        "operations_by_value": layer.active.tolist(),
    }
