"""A few thousand changed recordings."""

from tests.data.event_fuzz import SEEDS, run


def test_every_recording_is_read_before_it_is_changed(tmp_path):
    for read, content in SEEDS.values():
        (tmp_path / "one").write_bytes(content)
        assert len(read(tmp_path / "one")) >= 3


def test_changed_recordings_are_read_or_refused():
    seen = run(2000)
    assert seen.total() == 2000
    assert not any(what.endswith("its name") for what in seen)
    assert {what for what, count in seen.items() if count > 20} >= {f"{kind}: refused" for kind in SEEDS}
    assert seen["davis: read"] > 20


def test_changed_recordings_take_little_memory():
    assert run(100, first=2000, memory=True).total() == 100
