"""The process that serves one variant."""

import io
import json

from bntt.bench import worker
from tests.kernels import needs_kernels


@needs_kernels
def test_a_line_in_a_step_done_a_line_out(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("step\nstep\n"))
    case = {"name": "tiny", "num_steps": 2, "batch": 2, "width": 0.05}
    assert worker.main(json.dumps({"variant": "fused", "case": case})) == 0
    ready, *answers = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert ready == {"ready": True}
    assert len(answers) == 2
    assert all(answer["seconds"] > 0 for answer in answers)
