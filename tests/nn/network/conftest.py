"""What tests of a network's calls share."""

import pytest

from bntt.nn.network import kept


@pytest.fixture
def used(monkeypatch) -> list[int]:
    """One entry for every call that went through a kept chain."""
    found, real = [], kept._Ready.advance

    def advance(self, *args, **kwargs):
        found.append(1)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(kept._Ready, "advance", advance)
    return found
