"""The type of the integers that name samples is no part of what they draw."""

from __future__ import annotations

import torch
from torch import Tensor

from bntt.nn import PoissonEncoder, SpikingClassifier, expected
from tests.fuzz.borders.surroundings import sometimes_plain
from tests.fuzz.uses import Job

INTEGERS = (torch.int32, torch.int16, torch.int8, torch.uint8, torch.int64)


def name_samples(job: Job) -> None:
    """Dropout's masks and the encoder's spikes; the standard names the samples in int64."""
    sometimes_plain(job, job.dice)
    dtype, batch = job.dice.pick(INTEGERS), job.drawn.batch
    index = torch.tensor([job.dice.integer(0, 120) for _ in range(batch)]).to(dtype if job.ours else torch.int64)
    noise = {"seed": job.dice.integer(0, 99), "draw": job.dice.integer(0, 99), "index": index}
    job.notes.append(f"index {dtype}")
    if len(job.drawn.place) == 1:
        job.loss(job.net(job.given(batch), **noise)).backward()
        return
    encoder = PoissonEncoder(job.drawn.steps, gradient=job.dice.pick((None, expected)))
    model, images = SpikingClassifier(encoder, job.net), _images(job)
    job.record["trace logits"] = model.trace(images, **noise).logits
    job.loss(model(images, **noise)).backward()


def _images(job: Job) -> Tensor:
    images = job.dice.rand(job.drawn.batch, *job.drawn.place)
    return images.double() if job.double else images
