"""Peers draw start weights and dropout from torch's generator: here they may, and it is put back."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def own_generator() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
