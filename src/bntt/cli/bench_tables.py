"""The tables of ``bntt bench`` on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bntt.cli import console

if TYPE_CHECKING:
    from bntt.bench.accuracy import Race, Training
    from bntt.bench.deployed import Deployed
    from bntt.bench.timing import Comparison


def training_line(race: Race, training: Training) -> str:
    """Describe how one training of a race went."""
    there = training.reached(race.target)
    how = f"{race.target:.0%} " + ("not reached" if there is None else f"after {there.seconds / 60:.1f} minutes")
    return f"{race.name}: {training.variant}, seed {training.seed}: {how}"


def show_race(case: Mapping[str, Any]) -> None:
    """Print how long each variant trained to the target."""
    rows = [
        (
            variant,
            f"{row['reached']} of {row['starts']}",
            "" if row["mean_seconds"] is None else f"{row['mean_seconds'] / 60:.1f}",
            ", ".join(f"{seconds / 60:.1f}" for seconds in row["seconds"]),
            ", ".join(f"{updates:,}" for updates in row["updates"]),
        )
        for variant, row in case["to_target"].items()
    ]
    title = f"{case['race']['name']}: training to {case['race']['target']:.0%} of held-out images"
    console.columns(title, ("", "starts", "minutes, mean", "minutes", "updates"), rows)


def show_deployed(one: Deployed) -> None:
    """Print every way to run a trained network."""
    rows = [
        (
            way.variant,
            str(way.batch),
            f"{1e3 * way.median:.2f} ms",
            f"{1e3 * way.median / one.num_steps:.2f} ms",
            f"{way.resident / 2**20:,.0f} MiB",
            f"{way.file / 1e3:,.0f} kB",
            f"{way.within:.1%}",
            f"{way.same_class:.1%}",
        )
        for way in one.ways
    ]
    heads = ("", "samples", "all steps", "a step", "memory", "file", "within 1e-4", "same class")
    console.columns(f"{one.network} ({one.num_steps} steps; {one.images} images)", heads, rows)


def show_comparison(comparison: Comparison, variants: Sequence[str]) -> None:
    """Print the variants of a case, and the names of those that could not take part."""
    rates = comparison.firing_rate.values()
    title = (
        f"{comparison.case.name} (batch {comparison.case.batch}, {min(rates):.1%} to {max(rates):.1%} of neurons fire)"
    )
    rows = [
        (
            timing.variant,
            f"{timing.median:.3f} s",
            f"{comparison.speed(timing.variant):.2f}x",
            f"{timing.peak_over_base / 2**20:,.0f} MiB",
        )
        for timing in comparison.timings
    ]
    rows += [(name, "not timed", "", "") for name in variants if comparison.of(name) is None]
    console.columns(title, ("", "step", "speed", "memory over base"), rows)
