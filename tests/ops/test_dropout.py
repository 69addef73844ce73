"""One mask for all steps, as a pure function."""

import torch

from bntt.ops.dropout import dropout_mask


def mask(p: float = 0.3, shape=(8, 5, 5), layer: int = 0, seed: int = 0, draw: int = 0, index=range(400)):
    return dropout_mask(p, shape, layer, seed=seed, draw=draw, index=torch.tensor(list(index)))


def test_a_share_stays():
    found = mask()
    assert (found.shape, found.dtype) == ((400, 8, 5, 5), torch.bool)
    assert abs(float(found.float().mean()) - 0.7) < 0.005
    assert float(found.float().mean(0).std()) < 0.03
    assert mask(p=0.0).all()


def test_it_is_a_function_of_sample_layer_draw_and_seed():
    once = mask()
    assert torch.equal(once, mask())
    assert torch.equal(once[[7, 3]], mask(index=[7, 3]))
    for other in (mask(layer=1), mask(draw=1), mask(seed=1)):
        agree = float((once == other).float().mean())
        assert abs(agree - 0.58) < 0.01  # 0.7² + 0.3²: independent
