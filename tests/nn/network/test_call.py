"""What a stage is told of a call."""

import pytest
import torch
from torch import nn

from bntt.nn import BNTT, LIF, LayerNorm, NoNorm, Readout, SpikingBlock
from bntt.nn.call import Call, NetworkState, check_call, noise_of


def test_by_default_a_call_has_all_steps_from_rest():
    assert (Call().first, Call().whole, Call().noise, Call().reduce) == (0, True, None, None)
    assert not Call(first=3).whole
    assert Call().steps(torch.zeros(4, 2)) == slice(0, 4)
    with pytest.raises(ValueError, match="steps begin with 0, got first=-1"):
        Call(first=-1)


@pytest.mark.parametrize(
    "part",
    [BNTT(3, 4), LayerNorm(3), NoNorm(), LIF(), Readout(nn.Identity()), SpikingBlock(nn.Identity(), NoNorm(), LIF())],
    ids=lambda part: type(part).__name__,
)
def test_a_state_in_the_place_of_a_call_is_refused(part, no_hook):
    with pytest.raises(TypeError, match=r"which steps a part is called for, a Call, got Tensor"):
        part(torch.ones(2, 5, 3), torch.zeros(5, 3))
    with pytest.raises(TypeError, match="a Call, got NoneType"):
        check_call(None)


def test_an_index_names_every_sample_by_an_integer():
    for wrong in (torch.tensor([1]), torch.zeros(3), torch.ones(3, dtype=torch.bool), torch.zeros(3, 1).long()):
        with pytest.raises(ValueError, match="index must name each of the 3 samples by an integer"):
            noise_of(None, 3, None, None, wrong)
    known = noise_of(None, 3, 5, None, None)
    state = NetworkState(1, 3, (), None, known)
    assert noise_of(state, 3, None, None, torch.arange(3)) is known
