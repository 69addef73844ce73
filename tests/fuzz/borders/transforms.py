"""Uses of their own: PyTorch's function transforms, and samples named by integers of any type."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, func

from bntt.nn import PoissonEncoder, SpikingClassifier, expected
from tests.fuzz.borders.surroundings import sometimes_plain
from tests.fuzz.uses import Job


def transform(job: Job) -> None:
    """Gradients of the weights, of the input, along a direction, and one sample after another."""
    job.net.eval()
    x = job.given()
    x = x.detach().to(torch.float64 if job.double else torch.float32)
    towards = job.dice.normal(x.shape[1], 3).to(x.dtype)
    way = job.dice.pick((weights, along_input, along_direction, sample_by_sample))
    job.notes.append(way.__name__)
    way(job, x, towards)


def weights(job: Job, x: Tensor, towards: Tensor) -> None:
    held = {name: p.detach() for name, p in job.net.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return (func.functional_call(job.net, values, (x,)) * towards).sum()

    if job.ours:
        found = func.grad(loss)(held)
    else:
        leaves = {name: p.clone().requires_grad_() for name, p in held.items()}
        given = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True)
        found = dict(zip(leaves, given, strict=True))
    for name, grad in found.items():
        job.record[f"grad by transform of {name}"] = grad


def along_input(job: Job, x: Tensor, towards: Tensor) -> None:
    if job.ours:
        out, pull = func.vjp(job.net, x)
        job.record["logits"], job.record["grad by vjp"] = out, pull(towards)[0]
        return
    leaf = x.clone().requires_grad_()
    out = job.net(leaf)
    job.record["logits"] = out.detach()
    job.record["grad by vjp"] = torch.autograd.grad(out, leaf, towards)[0]


def along_direction(job: Job, x: Tensor, towards: Tensor) -> None:
    """The sum of a tangent against an output is the same both ways round."""
    x = x.contiguous()  # PyTorch's jvp takes no expanded tensor of any function
    direction = job.dice.normal(*x.shape).to(x.dtype)
    if job.ours:
        out, tangent = func.jvp(job.net, (x,), (direction,))
        job.record["logits"], job.record["grad along"] = out, (tangent * towards).sum()
        return
    leaf = x.clone().requires_grad_()
    out = job.net(leaf)
    job.record["logits"] = out.detach()
    job.record["grad along"] = (torch.autograd.grad(out, leaf, towards)[0] * direction).sum()


def sample_by_sample(job: Job, x: Tensor, towards: Tensor) -> None:
    one: Callable[[Tensor], Tensor] = lambda sample: job.net(sample[:, None])[0]  # noqa: E731
    if job.ours:
        job.record["logits"] = func.vmap(one, in_dims=1)(x)
        return
    job.record["logits"] = torch.stack([one(sample) for sample in x.unbind(1)]).detach()


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
