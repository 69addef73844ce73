"""Recordings of event cameras: the seeds and readers of :mod:`tests.data.damaged`."""

from __future__ import annotations

from bntt.data.events.binning import Binning, to_frames
from bntt.io.errors import DataError
from tests.data.damaged import FOREIGN, SEEDS
from tests.hostile.format import Format, as_file


def _of(read, content, **more) -> Format:
    def whole(path):
        events = read(path)
        frames = to_frames(events, Binning(3, min(events.height, 3), min(events.width, 4)))
        assert int(frames.counts.long().sum()) == len(events)

    return Format(
        lambda folder: [content], as_file("one.events"), whole, (DataError,), (b"#", b"\r\n", b"PK\1\2"), **more
    )


FORMATS = {
    **{name.replace(" ", "-"): _of(*seed) for name, seed in SEEDS.items()},
    **{name.replace(" ", "-"): _of(*seed, needs="aedat") for name, seed in FOREIGN.items()},
}
