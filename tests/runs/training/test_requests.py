"""What a run is asked for."""

import signal
from pathlib import Path

from bntt.runs.training.requests import Interrupted, command_to_resume
from tests.rows import each_row


@each_row("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_says_by_what_and_how_it_goes_on(number):
    stopped = Interrupted(number, "go on with: bntt train runs/x --resume")
    assert stopped.number == number
    assert str(stopped) == f"stopped by {number.name}; go on with: bntt train runs/x --resume"


def test_a_run_is_resumed_by_as_many_processes_each_on_a_gpu_of_its_own():
    command = "torchrun --nproc-per-node 2 -m bntt train runs/mine --resume --device cuda"
    assert command_to_resume(Path("runs/mine"), "cuda:1", 2) == command
