"""What a run is asked for."""

import signal

from bntt.runs.training.requests import Interrupted
from tests.rows import each_row


@each_row("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_says_by_what_and_how_it_goes_on(number):
    stopped = Interrupted(number, "go on with: bntt train runs/x --resume")
    assert stopped.number == number
    assert str(stopped) == f"stopped by {number.name}; go on with: bntt train runs/x --resume"
