"""Rectangles: the pixels that a loop finds."""

import numpy as np
import torch

from bntt.data.augment import inside


def test_pixels_inside_are_those_that_a_loop_finds(rng):
    first = torch.randint(-4, 8, (40, 2), generator=rng)
    past = first + torch.randint(0, 7, (40, 2), generator=rng)
    found = inside(first, past, (6, 5)).numpy()
    assert found.shape == (40, 1, 6, 5)
    for image, ((top, left), (bottom, right)) in enumerate(zip(first.tolist(), past.tolist(), strict=True)):
        expected = np.zeros((6, 5), dtype=bool)
        for row in range(max(top, 0), min(bottom, 6)):
            for column in range(max(left, 0), min(right, 5)):
                expected[row, column] = True
        assert np.array_equal(found[image, 0], expected), image
    assert not found[0].all()
    assert found.any()
