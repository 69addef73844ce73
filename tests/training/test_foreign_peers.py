"""Networks of SpikingJelly's and snnTorch's own layers, saved, imported and compared; only where those are installed.

make bench-peers && .venv-peers/bin/pip install pytest jaxtyping && .venv-peers/bin/python -m pytest THIS FILE
"""

import pytest
import torch
from torch import nn

from bntt.io.pickled import read_pickled
from bntt.models import vgg6
from bntt.training.foreign import as_ours, read_foreign
from tests.foreign import make_even

STEPS, LEAK = 4, 0.95
CHANNELS = (1, 4, 4, 8, 8)


def randomized(net, seed=3):
    generator = torch.Generator().manual_seed(seed)
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


def imported(net, layout, tmp_path, **options):
    """Ours, with what torch.save wrote of theirs."""
    path = tmp_path / "theirs.pt"
    torch.save(net.state_dict(), path)
    foreign = read_foreign(read_pickled(path))
    assert foreign.layout == layout
    ours = vgg6(width=0.25, num_steps=STEPS, leak=LEAK, norm_eps=1e-5, **options)
    ours.load_state_dict(as_ours(foreign, ours))
    return ours.double().eval(), foreign


def spikes():
    return torch.rand(STEPS, 6, 1, 28, 28, generator=torch.Generator().manual_seed(0)).lt(0.4).double()


def test_spikingjelly(tmp_path):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron

    def lif():
        return neuron.LIFNode(tau=1 / (1 - LEAK), v_reset=None, decay_input=False, step_mode="m")

    with torch.random.fork_rng(devices=[]):
        parts = []
        for i in range(4):
            conv = nn.Conv2d(CHANNELS[i], CHANNELS[i + 1], 3, padding=1, bias=False)
            parts += [layer.SeqToANNContainer(conv)]
            parts += [layer.BatchNormThroughTime2d(STEPS, CHANNELS[i + 1], step_mode="m"), lif()]
            parts += [layer.SeqToANNContainer(nn.AvgPool2d(2))] if i % 2 else []
        parts += [layer.SeqToANNContainer(nn.Flatten(), nn.Linear(392, 32, bias=False))]
        parts += [layer.BatchNormThroughTime1d(STEPS, 32, step_mode="m"), lif()]
        net = randomized(nn.Sequential(*parts, layer.SeqToANNContainer(nn.Linear(32, 10, bias=False))))
    ours, _ = imported(net, "spikingjelly", tmp_path)
    net = net.double()
    functional.reset_net(net)
    theirs = net(spikes()).mean(0)
    apart = (theirs - ours(spikes())).abs().max()
    print(f"SpikingJelly: largest difference of logits {apart:.3g}, their deviation {theirs.std():.3g}")
    assert theirs.std() > 0.1
    assert apart < 1e-12


class OfSnnTorch(nn.Module):
    def __init__(self, snntorch):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(CHANNELS[i], CHANNELS[i + 1], 3, padding=1, bias=False) for i in range(4))
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


def test_snntorch(tmp_path):
    """Equal where no rest after a spike is above θ: drives are even."""
    snntorch = pytest.importorskip("snntorch")
    with torch.random.fork_rng(devices=[]):
        net = randomized(OfSnnTorch(snntorch))
    make_even(net)
    ours, foreign = imported(net, "snntorch", tmp_path)
    assert foreign.leak == pytest.approx(LEAK)
    theirs = net.double()(spikes())
    apart = (theirs - ours(spikes())).abs().max()
    print(f"snnTorch: largest difference of logits {apart:.3g}, their deviation {theirs.std():.3g}")
    assert theirs.std() > 0.02
    assert apart < 1e-12
