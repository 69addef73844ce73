"""A few thousand changed recordings, some changed sets, and the bounds that more of them run within."""

import os
import time

import pytest

from tests.data import guarded as bounds
from tests.data.event_fuzz import SEEDS, run, run_all
from tests.data.guarded import guarded
from tests.data.set_fuzz import run as run_sets


def test_every_recording_is_read_before_it_is_changed(tmp_path):
    for read, content in SEEDS.values():
        (tmp_path / "one").write_bytes(content)
        assert len(read(tmp_path / "one")) >= 3


def test_changed_recordings_are_read_or_refused():
    seen = run(500)
    assert seen.total() == 500
    assert not any(what.endswith("its name") for what in seen)
    assert {what for what, count in seen.items() if count > 5} >= {f"{kind}: refused" for kind in SEEDS}
    assert seen["davis: read"] > 5


def test_changed_recordings_take_little_memory():
    assert run(60, first=2000, memory=True).total() == 60


def test_changed_sets_are_opened_or_refused():
    seen = run_sets(60)
    assert seen.total() == 60
    assert not any(what.endswith("a name") for what in seen)
    for changed in ("recording", "prepared file", "folder"):
        assert sum(count for what, count in seen.items() if f"{changed} changed: refused" in what) > 2
    assert sum(count for what, count in seen.items() if what.endswith("opened")) > 1


def allocates(cases, first, before):
    before(first)
    bytearray(2 * bounds.MEMORY)


def hangs(cases, first, before):
    before(first + 3)
    time.sleep(600)


def ends(cases, first, before):
    before(first + 2)
    os._exit(7)


@pytest.mark.slow
def test_a_process_of_its_own_bounds_memory():
    assert guarded(run_all, 14).total() == 14
    with pytest.raises(AssertionError, match="case 5: MemoryError"):
        guarded(allocates, 1, 5)
    with pytest.raises(AssertionError, match="case 7 ended the process with 7"):
        guarded(ends, 1, 5)


@pytest.mark.slow
def test_a_process_of_its_own_bounds_time():
    with pytest.raises(AssertionError, match=r"case 8 ended the process with 1 \(1: it took too long\)"):
        guarded(hangs, 1, 5)
