"""Faults of the paper's equations."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

EQUATIONS = [
    Mutation(
        "soft reset adds",
        "ops/lif.py",
        "return membrane - threshold * spikes",
        "return membrane + threshold * spikes",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "negative pixels lose their sign",
        "ops/poisson.py",
        "return (2 * uniform <= x.abs()) * x.sign()",
        "return (2 * uniform <= x.abs()) * x.sign().abs()",
        ("tests/ops/test_poisson.py",),
    ),
    Mutation(
        "the expected spike is twice what it is",
        "ops/poisson.py",
        "(x.abs() < 2).to(x.dtype) / 2 if signed",
        "(x.abs() < 2).to(x.dtype) if signed",
        ("tests/nn/encoders/test_poisson.py",),
    ),
    Mutation(
        "frames come one step late",
        "nn/encoders.py",
        "x = x[:, wanted",
        "x = x.roll(1, 1)[:, wanted",
        ("tests/nn/encoders/test_encoder.py",),
    ),
    Mutation(
        "the mean is added",
        "ops/norm.py",
        "y = (x - over(mean)) *",
        "y = (x + over(mean)) *",
        ("tests/ops/test_norm.py",),
    ),
    Mutation(
        "γ of the next step",
        "nn/norms.py",
        "gamma = self.scale * self.gamma[affine]",
        "gamma = self.scale * self.gamma.roll(-1, 0)[affine]",
        ("tests/nn/norms/test_temporal.py", "tests/golden/test_traces.py"),
    ),
    Mutation(
        "time runs backwards",
        "ops/lif.py",
        "for drive in current.unbind(0):",
        "for drive in reversed(current.unbind(0)):",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "the leak takes the current too",
        "ops/lif.py",
        "integrated = neuron.leak * membrane + current",
        "integrated = neuron.leak * (membrane + current)",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "an input that decays does not",
        "ops/lif.py",
        "return neuron.rule(neuron.drive(current), membrane, neuron)",
        "return neuron.rule(current, membrane, neuron)",
        ("tests/ops/test_lif.py", "tests/golden/test_traces.py"),
    ),
    Mutation(
        "a fold forgets that the input decays",
        "ops/fold.py",
        "    scale, shift = (rows * _column(neuron.input_gain, rows) for rows in (scale, shift))\n",
        "",
        ("tests/ops/test_fold.py",),
    ),
    Mutation(
        "TAB pools the future",
        "ops/pooling.py",
        'device="cpu").tril(before)',
        'device="cpu").triu(before)',
        ("tests/ops/test_pooling.py",),
    ),
    Mutation(
        "another 1/θ in the surrogate",
        "ops/spike.py",
        "return grad_spikes * _slope(ctx), None, None",
        "return grad_spikes * _slope(ctx) / ctx.threshold, None, None",
        ("tests/ops/test_spike.py",),
    ),
    Mutation(
        "a gradient through the reset",
        "ops/lif.py",
        "self.reset(membrane, spikes.detach(), self.threshold)",
        "self.reset(membrane, spikes, self.threshold)",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "a turned neuron's gradient has the sign of another",
        "ops/folded.py",
        "return self.slope * self.surrogate(v)",
        "return self.sign * self.slope * self.surrogate(v)",
        ("tests/ops/test_fold.py",),
    ),
    Mutation(
        "statistics are constants",
        "ops/norm.py",
        "    mean = x.mean(dims, keepdim=True)\n",
        "    x = x.detach()\n    mean = x.mean(dims, keepdim=True)\n",
        ("tests/ops/test_norm.py",),
    ),
]
