"""The whole network: against the oracle at T = 25, state handling, and the trace."""

import numpy as np
import pytest
import torch
from torch import nn

from bntt.models import mlp, vgg6, vgg9, vgg11
from bntt.nn import evaluating
from tests import reference
from tests.grids import every_value
from tests.oracle import random_spikes, randomize, relative, to_reference, weight_of

T = 25
ORACLE = {
    "vgg9": lambda **o: (vgg9(width=1 / 16, num_steps=T, **o), (T, 2, 3, 32, 32)),
    "vgg11": lambda **o: (vgg11(width=1 / 32, num_classes=10, num_steps=T, **o), (T, 2, 3, 32, 32)),
    "mlp": lambda **o: (mlp(in_features=5, hidden=(12, 8), num_steps=T, **o), (T, 4, 5)),
}
VARIANTS = [
    {},
    {"fire": "before"},
    {"reset": "hard"},
    {"fire": "before", "reset": "hard", "threshold": 0.75, "leak": 0.8},
]


def compare_with_oracle(name, training, **options):
    """Spikes, logits, loss, every gradient and the running statistics; returns the largest differences."""
    net, shape = ORACLE[name](seed=1, **options)
    net = net.double().train(training)
    randomize(net)
    inputs, labels = random_spikes(shape).requires_grad_(), torch.arange(shape[1]) % 10
    oracle = to_reference(net)
    tape = reference.forward(oracle, inputs.detach().numpy(), training)
    expected = reference.backward(oracle, tape, labels.numpy(), frozen_statistics=not training)

    spikes = {}
    hooks = [
        block.lif.register_forward_hook(lambda m, i, o, layer=layer: spikes.__setitem__(layer, o[0].detach().numpy()))
        for layer, block in net.blocks.items()
    ]
    logits = net(inputs)
    for hook in hooks:
        hook.remove()
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()

    flips = sum(int((spikes[layer] != np.stack([o[i] for o in tape.spikes])).sum()) for i, layer in enumerate(spikes))
    weights, gammas, means, variances = [], [], [], []
    for i, block in enumerate(net.blocks.values()):
        weights.append(relative(weight_of(block.synapse).grad.numpy(), expected.weights[i]))
        gammas.append(relative(block.norm.gamma.grad.numpy(), expected.gammas[i]))
        means.append(np.abs(block.norm.running_mean.numpy() - oracle.layers[i].running_mean).max())
        variances.append(np.abs(block.norm.running_var.numpy() - oracle.layers[i].running_var).max())
    return {
        "fired": float(np.mean([s.mean() for s in spikes.values()])),
        "flips": flips,
        "logits": float(np.abs(logits.detach().numpy() - tape.logits).max()),
        "loss": abs(loss.item() - reference.cross_entropy(tape.logits, labels.numpy())),
        "weights": max(weights),
        "gammas": max(gammas),
        "readout": relative(net.readout.synapse.weight.grad.numpy(), expected.readout),
        "inputs": relative(inputs.grad.numpy(), expected.inputs),
        "running": float(max(*means, *variances)),
    }


@every_value(options=VARIANTS, name=[*ORACLE], training=[False, True, False, True, True])
def test_network_equals_the_oracle(name, training, options):
    """N2, at T = 25 in float64: every spike, logits to 1e-10, gradients to 1e-8 relative."""
    found = compare_with_oracle(name, training, **options)
    assert found["fired"] > 0.02, "a silent network would prove nothing"
    assert found["flips"] == 0
    assert found["logits"] <= 1e-10
    assert found["loss"] <= 1e-10
    assert found["running"] <= 1e-12
    for part in ("weights", "gammas", "readout", "inputs"):
        assert found[part] <= 1e-8, part


def small(num_steps=4, **options):
    return mlp(in_features=6, hidden=(8,), num_classes=3, num_steps=num_steps, **options)


@pytest.mark.parametrize("norm", ["bntt", "tab", "tdbn"])
def test_training_may_stop_early_on_purpose(norm):
    """The steps that never come get no gradient; a norm that looks ahead pools over those that do."""
    net, short = (vgg6(width=0.25, num_steps=t, norm=norm, seed=2).double() for t in (6, 4))
    inputs = random_spikes((4, 3, 1, 28, 28))
    logits, expected = net(inputs, steps=4), short(inputs)
    assert expected.any()
    assert torch.allclose(logits, expected, atol=1e-12)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(net.parameters(), short.parameters(), strict=True):
        assert torch.allclose(ours.grad[: len(theirs)], theirs.grad, atol=1e-12)
        assert not ours.grad[len(theirs) :].any()


def test_trace_counts_what_fired_and_says_what_each_step_says():
    net = vgg6(width=0.25, num_steps=4, seed=2).double()
    inputs = random_spikes((4, 3, 1, 28, 28))
    net(inputs)  # running statistics away from their start
    trace = net.trace(inputs)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, block in net.blocks.items():
        block.lif.register_forward_hook(lambda m, i, o, name=name: seen.setdefault(name, []).append(o[0][0]))
    state = None
    with evaluating(net), torch.no_grad():
        for t in range(4):
            logits, state = net.advance(inputs[t : t + 1], state)
            assert torch.equal(trace.logits[t], logits[0])
    for name, steps in seen.items():
        expected = torch.stack([s.sum((0, *range(2, s.ndim))) for s in steps])
        assert torch.equal(trace.spikes[name], expected)
        assert torch.allclose(trace.firing_rate[name], torch.stack([s.mean() for s in steps]))
    assert trace.neurons == {"conv1": 4 * 784, "conv2": 4 * 784, "conv3": 8 * 196, "conv4": 8 * 196, "fc1": 32}


def test_trace_leaves_mode_and_buffers_alone(rng):
    net = small().train()
    net.blocks["fc1"].lif.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.trace(torch.randn(4, 2, 6, generator=rng))
    assert net.training
    assert not net.blocks["fc1"].lif.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_streaming_without_norm_has_no_last_step():
    net, state = small(norm="none"), None
    assert net.num_steps is None
    for _ in range(50):
        logits, state = net.advance(torch.ones(1, 1, 6), state)
    assert state.steps == 50
    assert torch.isfinite(logits).all()
