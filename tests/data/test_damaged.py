"""Every damaged recording is refused and named; recordings changed at random are read whole, or refused."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from bntt.data.events.binning import Binning, to_frames
from bntt.io.errors import DataError
from tests.data.damaged import AEDAT2, ARCHIVE, NMNIST, SEEDS
from tests.robustness.changes import changed
from tests.rows import each_row


@each_row("read, content, named", AEDAT2 + NMNIST + ARCHIVE)
def test_what_is_damaged_is_named(read, content, named, tmp_path):
    (tmp_path / "one").write_bytes(content)
    with pytest.raises(DataError, match=named) as raised:
        read(tmp_path / "one")
    assert str(tmp_path / "one") in str(raised.value)


def test_what_is_changed_is_refused_by_name_or_read_with_every_event_in_little_memory(tmp_path):
    path, seen = tmp_path / "one", Counter()
    tracemalloc.start()
    for case in range(500):
        kind = list(SEEDS)[case % len(SEEDS)]
        read, content = SEEDS[kind]
        path.write_bytes(changed(content, np.random.default_rng(case)) if case >= len(SEEDS) else content)
        tracemalloc.reset_peak()
        try:
            events = read(path)
            frames = to_frames(events, Binning(3, 3, 4))
            assert int(frames.counts.long().sum()) == len(events)
            seen[kind, "read"] += 1
        except DataError as error:
            seen[kind, "refused" if str(path) in str(error) else "refused without its name"] += 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20, case
    tracemalloc.stop()
    assert {how for _, how in seen} == {"read", "refused"}
    assert all(seen[kind, "refused"] > 5 and seen[kind, "read"] for kind in SEEDS)
