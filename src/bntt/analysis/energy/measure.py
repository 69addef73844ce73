"""Measure the operations and the energy of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from bntt.analysis.energy.costs import Costs, Digital, Work, cost_names, load_costs
from bntt.analysis.energy.measurement import EnergyArguments
from bntt.analysis.energy.operations import Operations, Price, count_operations
from bntt.analysis.energy.result import (
    AnnOperations,
    EnergyResult,
    EnergyRow,
    LayerOverSteps,
    LayerRow,
    NeuroBench,
    SynapticOperations,
)
from bntt.analysis.measurement import ArgumentError, Opened, Progress, Split, draws_of, origin

PRICES: tuple[Price, ...] = ("spikes", "values")


def operations_of(opened: Opened, split: Split, **options: Any) -> Operations:
    """Count the operations of a run, as :func:`~bntt.analysis.energy.operations.count_operations` does.

    Raises:
        ArgumentError: if the effect of a part of the network on spikes is unknown, or its output is not whole spikes.
    """
    try:
        return count_operations(opened.model, opened.loader(split), **options)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{opened.path}: {error}") from None


def measure_energy(opened: Opened, arguments: EnergyArguments, progress: Progress) -> EnergyResult:
    """Count the operations of every image of a split, and price them.

    Raises:
        ArgumentError: on a table that cannot be used, a stop beyond the network's steps, more than one draw where
            nothing is random, or a network whose operations cannot be counted.
    """
    facts = opened.facts
    tables = _tables(arguments.costs, is_ann=facts.is_ann)
    stop = _stop(opened, arguments.steps)
    draws, loader = draws_of(facts, arguments.draws), opened.loader(arguments.split)
    progress.expect(len(loader.places) * draws)
    found = operations_of(opened, arguments.split, seed=opened.seed, draws=draws, progress=progress)
    stops = list(dict.fromkeys([found.num_steps, stop or found.num_steps]))
    footprint, sparsity = _size(opened.model.network)
    once = {steps: found.synaptic(steps, "values", input_once=True) for steps in stops}
    return EnergyResult(
        **origin(opened, arguments),
        images=found.accuracy.samples,
        draws=draws,
        steps=stops,
        is_ann=facts.is_ann,
        neurobench={steps: neurobench(found, steps, footprint, sparsity, is_ann=facts.is_ann) for steps in stops},
        accuracy_over_time=found.accuracy.over_time,
        layers=list(layer_rows(found, stops)),
        per_step={
            name: LayerOverSteps(
                spikes=layer.spikes.tolist(),
                operations_by_spike=layer.events.tolist(),
                operations_by_value=layer.active.tolist(),
            )
            for name, layer in found.layers.items()
        },
        ann=AnnOperations(macs=found.ann_macs, update_additions=found.ann_updates),
        frames=found.frames,
        energy=list(energy_rows(found, stops, tables)),
        costs=tables,
        operations_by_value_if_the_input_current_is_computed_once=once if found.constant_input else None,
    )


def _tables(sources: Sequence[str], *, is_ann: bool) -> dict[str, Costs]:
    """Load tables, keyed by file name; by default all, for an ANN only those that do not price spikes."""
    if not sources:
        tables = {name: load_costs(name) for name in cost_names()}
        return {name: table for name, table in tables.items() if isinstance(table, Digital) or not is_ann}
    names = [Path(source).stem for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ArgumentError(f"--costs: two tables are called {twice[0]!r}, and one would hide the other: rename a file")
    return {name: load_costs(source) for name, source in zip(names, sources, strict=True)}


def _stop(opened: Opened, steps: int | None) -> int | None:
    if steps is None:
        return opened.exit_steps()
    total = opened.facts.num_steps
    if not 1 <= steps <= total:
        raise ArgumentError(f"--steps {steps}: must be a number of steps from 1 to {total}, as the network has")
    return steps


def _size(network: nn.Module) -> tuple[int, float]:
    """Return the bytes of parameters and buffers, and the share of weights that are 0."""
    weights = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    return sum(tensor.nbytes for tensor in [*network.parameters(), *network.buffers()]), zeros


def layer_rows(found: Operations, stops: Sequence[int]) -> Iterator[LayerRow]:
    """Yield every layer's operations for one image up to each stop."""
    for steps in stops:
        for name, layer in found.layers.items():
            by_spike, by_value = (layer.synaptic(steps, price) for price in PRICES)
            yield LayerRow(
                steps=steps,
                layer=name,
                input=layer.arrives,
                neurons=layer.neurons,
                spikes=float(layer.spikes[:steps].sum()),
                additions_by_spike=by_spike.additions,
                macs_by_spike=by_spike.macs,
                additions_by_value=by_value.additions,
                macs_by_value=by_value.macs,
                update_additions=float(layer.updates.additions[:steps].sum()),
                update_multiplications=float(layer.updates.multiplications[:steps].sum()),
                ann_macs=found.ann_inputs * layer.dense,
                ann_update_additions=found.ann_inputs * layer.updates.ann,
            )


def energy_rows(found: Operations, stops: Sequence[int], tables: Mapping[str, Costs]) -> Iterator[EnergyRow]:
    """Yield the energy of one image by table, stop and price.

    If a table gives the same energy for both prices, one row has the price "either".
    """
    for name, table in tables.items():
        work = Work(0.0, found.ann_macs, found.ann_updates, 0.0, 0.0, 0)
        ann = table.energy(work) if isinstance(table, Digital) else None
        for steps in stops:
            costs = {price: table.energy(_work(found, steps, price)) for price in PRICES}
            for price, snn in costs.items() if len(set(costs.values())) > 1 else [("either", costs["spikes"])]:
                yield EnergyRow(
                    costs=name,
                    unit=table.unit,
                    steps=steps,
                    price=price,
                    snn_synaptic=snn.synaptic,
                    snn_other=snn.other,
                    snn=snn.total,
                    ann_synaptic=None if ann is None else ann.synaptic,
                    ann_other=None if ann is None else ann.other,
                    ann=None if ann is None else ann.total,
                    ann_over_snn=_ratio(ann and ann.total, snn.total),
                    ann_over_snn_synaptic=_ratio(ann and ann.synaptic, snn.synaptic),
                )


def _work(found: Operations, steps: int, price: Price) -> Work:
    updates = [layer.updates for layer in found.layers.values()]
    additions = sum(float(one.additions[:steps].sum()) for one in updates)
    multiplications = sum(float(one.multiplications[:steps].sum()) for one in updates)
    weights = found.synaptic(steps, price)
    return Work(weights.additions, weights.macs, additions, multiplications, found.spikes(steps), steps)


def _ratio(one: float | None, other: float) -> float | None:
    return None if one is None or other == 0 else one / other


def neurobench(
    found: Operations, steps: int, footprint: int, connection_sparsity: float, *, is_ann: bool = False
) -> NeuroBench:
    """Compute the metrics of NeuroBench's algorithm track for one image stopped after a number of steps.

    Effective_ACs are operations of single spikes, Effective_MACs those of all other non-zero values.
    """
    effective = found.synaptic(steps, "values")
    places = steps * sum(layer.neurons for layer in found.layers.values())
    return NeuroBench(
        footprint=footprint,
        connection_sparsity=connection_sparsity,
        activation_sparsity=None if is_ann else 1 - found.spikes(steps) / places if places else 1.0,
        synaptic_operations=SynapticOperations(
            Effective_MACs=effective.macs, Effective_ACs=effective.additions, Dense=found.dense * steps
        ),
        classification_accuracy=found.accuracy.over_time[steps - 1],
    )
