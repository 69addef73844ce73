"""How recordings become frames, as flags of ``bntt data``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from bntt.data.events.event_sets import Framing


@dataclass(frozen=True)
class FrameFlags:
    """For recordings alone."""

    steps: int = 20
    """T, how many frames a recording."""
    size: int = 42
    """Rows and columns of a frame."""
    by: Literal["time", "count"] = "time"
    """What frames share equally: the recording's time, or its events."""
    cells: Literal["counts", "binary"] = "counts"
    """Counts of events, or 1 where there are any."""
    beyond: Literal["widen", "saturate"] = "widen"
    """A count over 255 takes 16 bits a cell, or stays at 255."""
    format: str = ""
    """Of the files: aedat2, aedat2-raw, aedat2-davis240, aedat2-davis346, aedat4, nmnist, npz; "events" needs it."""
    sensor: tuple[int, int] | None = None
    """Rows and columns of the sensor, for npz alone."""

    def framing(self, name: str) -> Framing | None:
        """What they say of a set of recordings; None for one of images.

        Raises:
            DataError: if they are given for images, or cannot be.
        """
        from bntt.data.errors import DataError
        from bntt.data.events.binning import Binning
        from bntt.data.events.event_sets import Framing
        from bntt.data.registry import DATASETS

        if not DATASETS[name].formats:
            given = [f"--{part.name}" for part in fields(self) if getattr(self, part.name) != part.default]
            if given:
                raise DataError(f"{name} are images, and {', '.join(given)} are for recordings: leave them out")
            return None
        try:
            binning = Binning(self.steps, self.size, self.size, by=self.by, cells=self.cells, beyond=self.beyond)
        except ValueError as error:
            raise DataError(f"frames of {name}: {error}") from None
        return Framing(binning, self.format, self.sensor)


WithoutPrefix = Annotated[FrameFlags, tyro.conf.arg(name="")]
"""As a verb takes them."""
DEFAULT = FrameFlags()
