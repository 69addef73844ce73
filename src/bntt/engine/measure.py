"""What a pass is asked to measure of every layer, and what it saw."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """What to measure of a pass, in training as in evaluation.

    >>> bool(Measure()), bool(Measure(spikes=True))
    (False, True)
    """

    spikes: bool = False
    places: bool = False
    samples: bool = False
    current: tuple[float, ...] = ()
    moments: bool = False
    gradient: bool = False
    membrane: tuple[str, tuple[int, ...]] | None = None

    def __bool__(self) -> bool:
        return self != Measure()
