"""What a stage is told of a call."""

import torch

from bntt.nn.call import Call


def test_by_default_a_call_has_all_steps_from_rest():
    assert (Call().first, Call().whole, Call().noise, Call().reduce) == (0, True, None, None)
    assert Call().steps(torch.zeros(4, 2)) == slice(0, 4)
