"""Train your own norm and network in your own loop, and compare the norm with BNTT over several starts.

    python examples/own_norm_and_network.py [--starts 3] [--updates 200]

The norm divides by the root mean square over channels, so it needs no batch statistics, and has one γ for each step, as
BNTT has. The network is residual. Blocks with parts of your own run in plain PyTorch, the others in the fused kernels.
To use such parts in recipes and verbs, register them: examples/parts/my_parts.py.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import bntt
from bntt import analysis, data
from bntt.analysis import paired_difference
from bntt.nn import BNTT, LIF, Call, NormFacts, Readout, Residual, SpikingBlock, SpikingNetwork

STEPS = 6


class RootMeanSquare(nn.Module):
    """``y_t = γ_t x_t / sqrt(mean over channels of x_t² + ε)``: no statistics of the batch, one γ for each step."""

    facts = NormFacts(step_gamma=True)  # what other code asks of a norm: early exit reads its γ

    def __init__(self, channels: int, num_steps: int, eps: float = 1e-4) -> None:
        super().__init__()
        self.num_steps, self.eps = num_steps, eps
        self.gamma = nn.Parameter(torch.ones(num_steps, channels))

    def forward(self, x: Tensor, call: Call = Call(), state: None = None) -> tuple[Tensor, None]:
        """Normalise ``[S, B, C, ...]``; ``call`` knows which of the T steps these S are."""
        gamma = self.gamma[call.steps(x)].reshape(len(x), 1, -1, *[1] * (x.ndim - 3))
        return gamma * x * (x.square().mean(2, keepdim=True) + self.eps).rsqrt(), None

    def step_tables(self):
        """Yield the tables with a row for each step, so that the network can be given another T."""
        yield "gamma", self.gamma


def build(norm: type[nn.Module], train: data.ImageSet, seed: int) -> bntt.SpikingClassifier:
    """Build a residual network, whose second block adds its spikes to its input."""

    def block(inside: int, outside: int, pool: nn.Module | None = None) -> SpikingBlock:
        weights = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        return SpikingBlock(weights, norm(outside, num_steps=STEPS), LIF(leak=0.95), pool)

    torch.manual_seed(seed)
    blocks = {
        "stem": block(1, 12, nn.AvgPool2d(2)),
        "residual": Residual({"conv": block(12, 12)}),
        "last": block(12, 24, nn.Sequential(nn.AvgPool2d(2), nn.Flatten())),
    }
    network = SpikingNetwork(blocks, Readout(nn.Linear(24 * 49, 10, bias=False)))
    mean, std = train.pixel_statistics()
    return bntt.SpikingClassifier(bntt.PoissonEncoder(STEPS, mean=mean, std=std), network)


def learn(model: bntt.SpikingClassifier, train: data.ImageSet, updates: int, seed: int) -> float:
    """Train for a number of updates; return the last loss."""
    loader = data.SampleLoader(train, 50, shuffle=True, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    loss, update = torch.zeros(()), 0
    model.train()
    while update < updates:
        for batch in loader.epoch(update // len(loader)):
            logits = model(batch.inputs, seed=seed, index=batch.indices, draw=update)  # fresh noise at every update
            loss = nn.functional.cross_entropy(logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            update += 1
            if update == updates:
                break
    return float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--updates", type=int, default=200)
    options = parser.parse_args()
    train, test = data.fashion_mnist_bundled()
    shown = data.SampleLoader(test, 250)
    accuracy: dict[str, dict[int, float]] = {"own": {}, "bntt": {}}
    for seed in range(options.starts):
        for name, norm in (("own", RootMeanSquare), ("bntt", BNTT)):
            model = build(norm, train, seed)
            loss = learn(model, train, options.updates, seed)
            found = analysis.evaluate(model, shown, draws=1)
            accuracy[name][seed] = found.accuracy.mean
            spikes = found.activity.spikes_per_sample()
            print(f"start {seed}, {name:4}: loss {loss:.3f}, test {found.accuracy.mean:.1%}, {spikes:,.0f} spikes")
    difference = paired_difference(accuracy["own"], accuracy["bntt"])
    print(f"own - bntt: {100 * difference.mean:+.1f} points over {difference.n} starts", end="")
    if difference.interval:
        low, high = difference.interval
        print(
            f", {100 * low:+.1f} to {100 * high:+.1f} ({'decided' if low > 0 or high < 0 else 'not decided'})", end=""
        )
    print()


if __name__ == "__main__":
    main()
