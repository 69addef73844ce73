"""Serve requests with early exit: each sample is answered at the step at which the network is sure of it.

    python examples/early_exit_server.py                              # the network that comes with the package
    python examples/early_exit_server.py --run runs/demo --margin 0.3 # your run and threshold

A worker takes up to ``--batch`` waiting samples and advances them step by step. A sample whose margin reaches the
threshold leaves with its membranes and is answered at once; the others continue. Without ``--margin``, the threshold is
chosen on held-out images. The clients here are simulated: they send test images at random times and wait for answers.
"""

from __future__ import annotations

import argparse
import queue
import random
import threading
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

import bntt
from bntt import analysis, data


@dataclass
class Request:
    """One image, and where its answer goes."""

    image: Tensor
    arrived: float = field(default_factory=time.perf_counter)
    answered: threading.Event = field(default_factory=threading.Event)
    answer: int = -1
    steps: int = 0
    seconds: float = 0.0

    def reply(self, answer: int, steps: int) -> None:
        self.answer, self.steps, self.seconds = answer, steps, time.perf_counter() - self.arrived
        self.answered.set()


class Server:
    """A model behind a queue."""

    def __init__(self, model: bntt.SpikingClassifier, margin: float, batch: int) -> None:
        self.model, self.margin, self.batch = model.eval(), margin, batch
        self.waiting: queue.Queue[Request | None] = queue.Queue()
        self.worker = threading.Thread(target=self._work)
        self.worker.start()

    def submit(self, image: Tensor) -> Request:
        """Put an image ``[C, H, W]`` in the queue; wait for ``answered``."""
        request = Request(image)
        self.waiting.put(request)
        return request

    def close(self) -> None:
        """Answer all waiting requests, and stop."""
        self.waiting.put(None)
        self.worker.join()

    def _work(self) -> None:
        while (first := self.waiting.get()) is not None:
            taken, more = [first], True
            while more and len(taken) < self.batch and not self.waiting.empty():
                request = self.waiting.get()
                if request is None:
                    self.waiting.put(None)  # stop after this batch
                    more = False
                else:
                    taken.append(request)
            self._answer(taken)

    @torch.no_grad()
    def _answer(self, taken: list[Request]) -> None:
        images, left, state = torch.stack([one.image for one in taken]), taken, None
        for step in range(1, 1 + self.model.encoder.num_steps):
            logits, state = self.model.advance(images, state)  # one step of all that are left
            best = logits[-1].softmax(1).topk(2)
            done = best.values[:, 0] - best.values[:, 1] >= self.margin
            if step == self.model.encoder.num_steps:
                done[:] = True
            for request, answer, leaves in zip(left, best.indices[:, 0].tolist(), done.tolist(), strict=True):
                if leaves:
                    request.reply(answer, step)
            if done.all():
                return
            images, state = images[~done], state.rows(~done)  # membranes and noise of those that stay
            left = [request for request, leaves in zip(left, done.tolist(), strict=True) if not leaves]


def serve(model: bntt.SpikingClassifier, margin: float, shown: data.ImageSet, options: argparse.Namespace) -> None:
    """Send images at random times, wait for all answers, print accuracy, steps and latency."""
    server, sent, waits = Server(model, margin, options.batch), [], random.Random(0)
    began = time.perf_counter()
    for place in range(min(options.requests, len(shown))):
        sent.append(server.submit(shown.batch(torch.tensor([place]))[0]))
        time.sleep(waits.expovariate(options.rate))
    for request in sent:
        request.answered.wait()
    server.close()
    taken = sorted(1000 * request.seconds for request in sent)
    labels = shown.labels.tolist()
    right = sum(request.answer == labels[place] for place, request in enumerate(sent)) / len(sent)
    steps, total = sum(request.steps for request in sent) / len(sent), model.encoder.num_steps
    print(
        f"margin {margin:.3f}: {right:.1%} of {len(sent)} right, {steps:.2f} of {total} steps on average, "
        f"{len(sent) / (time.perf_counter() - began):.0f} requests/s, "
        f"latency {taken[len(taken) // 2]:.1f} ms (median), {taken[int(0.95 * (len(taken) - 1))]:.1f} ms (95 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="a run directory; the network that comes with the package otherwise")
    parser.add_argument(
        "--margin", type=float, help="margin of the two likeliest classes that lets a sample leave; by default chosen"
    )
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second, on average")
    parser.add_argument("--batch", type=int, default=16, help="most samples at once")
    options = parser.parse_args()
    if options.run:
        run = bntt.load_run(options.run)
        model, held_out, shown = run.model, run.data.validation, run.data.test
    else:  # it was trained on the training images, so half of the test images choose the margin
        model, test = bntt.models.pretrained(), data.fashion_mnist_bundled().test
        held_out, shown = test.select(torch.arange(0, 1000, 2)), test.select(torch.arange(1, 1000, 2))
    margin = options.margin
    if margin is None:
        running = analysis.record_running(model, data.SampleLoader(held_out, 100))
        margin = analysis.choose_sample_exit(running, "margin", loss=0.005).threshold
    serve(model, 2.0, shown, options)  # no margin is above 1: all steps
    serve(model, margin, shown, options)


if __name__ == "__main__":
    main()
