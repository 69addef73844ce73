"""Frames written one by one: what safetensors reads, wider when it must be, and never half."""

import tracemalloc

import pytest
import safetensors.torch
import torch

from bntt.data import prepared
from bntt.data.prepared import FrameFile
from tests.rows import each_row


def samples(rng, kinds, shape=(3, 2, 4, 5)):
    return [torch.randint(0, 200 if kind == torch.uint8 else 60_000, shape, generator=rng).to(kind) for kind in kinds]


@each_row("chunk", [1 << 22, 7, 120, 121])
@each_row("wide", [None, 0, 2, 4])
def test_what_is_written_is_read(wide, chunk, monkeypatch, rng, tmp_path):
    monkeypatch.setattr(prepared, "CHUNK", chunk)
    added = samples(rng, [torch.uint16 if number == wide else torch.uint8 for number in range(5)])
    with FrameFile(tmp_path / "x.safetensors", [5, 3, 2, 4, 5], [3, 0, 2, 1, 0]) as file:
        for sample in added:
            file.add(sample)
    found = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert file.bits == (8 if wide is None else 16)
    assert found["frames"].dtype == (torch.uint8 if wide is None else torch.uint16)
    assert torch.equal(found["frames"].long(), torch.stack([sample.long() for sample in added]))
    assert found["labels"].tolist() == [3, 0, 2, 1, 0]


def test_nothing_but_the_sample_is_in_memory(tmp_path):
    sample = torch.ones(4, 2, 64, 64, dtype=torch.uint8)
    tracemalloc.start()
    with FrameFile(tmp_path / "x.safetensors", [200, 4, 2, 64, 64], [0] * 200) as file:
        for _ in range(200):
            file.add(sample)
        most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x.safetensors").stat().st_size > 200 * sample.numel() > 10 * most


def test_an_error_leaves_no_file_that_can_be_read(rng, tmp_path):
    file = FrameFile(tmp_path / "x.safetensors", [1, 3, 2, 4, 5], [0])
    file.__enter__().add(samples(rng, [torch.uint8])[0])
    file.__exit__(KeyError, KeyError(), None)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(tmp_path / "x.safetensors")
