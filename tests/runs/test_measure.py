"""What a measurement leaves in a directory."""

from bntt.analysis.activity.measurement import ACTIVITY, ActivityArguments
from bntt.analysis.activity.result import ActivityResult
from bntt.analysis.result import result_from
from bntt.runs.measure import keep, kept
from tests.analysis.activity.test_result import VALUES


def test_pictures_and_attachments_lie_beside_the_file(tmp_path):
    asked = ActivityArguments(split="validation", places=True)
    values = VALUES | {"arguments": {"split": "validation", "draws": 1, "places": True}, "places_npz": b"spikes"}
    found = result_from(ActivityResult, values)
    written = keep(ACTIVITY, found, asked, tmp_path / "new")
    assert [path.name.removeprefix("activity-validation") for path in written] == [
        ".json", ".png", "-gamma.png", "-places.npz",
    ]  # fmt: skip
    assert written[-1].read_bytes() == b"spikes"
    assert kept(ACTIVITY, asked, tmp_path / "new").to_json() == found.to_json()
    assert kept(ACTIVITY, ActivityArguments(split="validation"), tmp_path / "new") is None
