"""Networks of SpikingJelly's and snnTorch's own layers, saved, imported and compared: make test-peers."""

import pytest
import torch
from torch import nn

from bntt.io.pickled import read_pickled
from bntt.models import vgg6
from bntt.training.foreign import as_ours, read_foreign
from tests.foreign import make_even

STEPS, LEAK, CHANNELS = 4, 0.95, (1, 4, 4, 8, 8)


def randomized(net):
    generator = torch.Generator().manual_seed(3)
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.05, 0.4, generator=generator)
        elif name.endswith("weight") and value.ndim == 1:
            value.uniform_(0.2, 1.2, generator=generator)
        elif name.endswith("weight"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return net.eval()


def convolution(i):
    return nn.Conv2d(CHANNELS[i], CHANNELS[i + 1], 3, padding=1, bias=False)


def of_spikingjelly():
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    def normed(norm, channels):
        lif = neuron.LIFNode(tau=1 / (1 - LEAK), v_reset=None, decay_input=False, step_mode="m")
        return norm(STEPS, channels, step_mode="m"), lif

    parts = []
    for i in range(4):
        parts += layer.SeqToANNContainer(convolution(i)), *normed(layer.BatchNormThroughTime2d, CHANNELS[i + 1])
        parts += [layer.SeqToANNContainer(nn.AvgPool2d(2))] if i % 2 else []
    parts += (
        layer.SeqToANNContainer(nn.Flatten(), nn.Linear(392, 32, bias=False)),
        *normed(layer.BatchNormThroughTime1d, 32),
    )
    net = randomized(nn.Sequential(*parts, layer.SeqToANNContainer(nn.Linear(32, 10, bias=False))))
    return net, lambda x: net(x).mean(0)


class OfSnnTorch(nn.Module):
    def __init__(self, snntorch):
        super().__init__()
        self.convs = nn.ModuleList(map(convolution, range(4)))
        self.fc1, self.fc2 = nn.Linear(392, 32, bias=False), nn.Linear(32, 10, bias=False)
        self.norms = nn.ModuleList(snntorch.BatchNormTT2d(c, STEPS) for c in CHANNELS[1:])
        self.norm5 = snntorch.BatchNormTT1d(32, STEPS)
        self.lifs = nn.ModuleList(snntorch.Leaky(beta=LEAK, reset_delay=False) for _ in range(5))

    def forward(self, x):
        membranes, voltage = [lif.init_leaky() for lif in self.lifs], 0.0
        for t in range(STEPS):
            out = x[t]
            for i, conv in enumerate(self.convs):
                out, membranes[i] = self.lifs[i](self.norms[i][t](conv(out)), membranes[i])
                out = nn.functional.avg_pool2d(out.to(x), 2) if i % 2 else out.to(x)  # its spikes are float32
            out, membranes[4] = self.lifs[4](self.norm5[t](self.fc1(out.flatten(1))), membranes[4])
            voltage = voltage + self.fc2(out.to(x))
        return voltage / STEPS


def of_snntorch():
    """Equal where no rest after a spike is above θ: drives are even."""
    net = randomized(OfSnnTorch(pytest.importorskip("snntorch")))
    make_even(net)
    return net, net


@pytest.mark.parametrize(("make", "layout"), [(of_spikingjelly, "spikingjelly"), (of_snntorch, "snntorch")])
def test_logits_of_what_was_saved_are_those_of_the_peer(make, layout, tmp_path):
    with torch.random.fork_rng(devices=[]):
        net, run = make()
    torch.save(net.state_dict(), tmp_path / "theirs.pt")
    foreign = read_foreign(read_pickled(tmp_path / "theirs.pt"))
    assert foreign.layout == layout
    ours = vgg6(width=0.25, num_steps=STEPS, leak=LEAK, norm_eps=1e-5)
    ours.load_state_dict(as_ours(foreign, ours))
    x = torch.rand(STEPS, 6, 1, 28, 28, generator=torch.Generator().manual_seed(0)).lt(0.4).double()
    net.double()
    theirs = run(x)
    assert theirs.std() > 0.02
    assert (theirs - ours.double().eval()(x)).abs().max() < 1e-12
