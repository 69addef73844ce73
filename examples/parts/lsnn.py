"""An LSNN (Bellec et al. 2018): one recurrent layer, half of its neurons with thresholds that adapt; for sequences.

``bntt --with lsnn.py study lsnn-rows.toml --small`` compares it with BNTT and no norm on rows of Fashion-MNIST.
"""

import torch
from torch import nn

import bntt
from bntt.models import NeuronOptions
from bntt.nn import Call, NeuronFacts, Readout, SpikingLayer, SpikingNetwork, Triangle, fold_time
from bntt.ops.spike import fire

TRIANGLE = Triangle()


class AdaptiveLIF(nn.Module):
    """Neurons whose threshold rises with their spikes and decays (Bellec et al. 2018, Eq. 1 and 2).

    With z the spikes of the step before, β = 0 for the first half and 1.8 for the second: a = ρ a + (1 - ρ) z,
    A = θ (1 + β a), u = λ (u - A' z) + y with A' the threshold that z crossed, and a spike where u > A.
    The reset leaks with the membrane, as in the library's LIF; Bellec et al. subtract A' z undecayed. The surrogate is
    a triangle in (u - A) / θ, equally wide for every A, and no gradient passes through a; theirs is one in (u - A) / A.
    """

    facts = NeuronFacts(waits=False)

    def __init__(self, channels, leak, decay=0.97, beta=1.8):
        super().__init__()
        self.leak, self.decay = leak, decay
        self.register_buffer("beta", beta * (torch.arange(channels) >= channels // 2).float())

    def forward(self, current, call=Call(), state=None):
        u, raised = (torch.zeros_like(current[0]),) * 2 if state is None else state
        out = []
        for drive in current:
            threshold = 1 + self.beta.to(drive.dtype) * raised
            u = self.leak * u + drive
            spikes = fire(u - threshold + 1, 1.0, TRIANGLE)
            u = u - threshold * spikes.detach()
            raised = self.decay * raised + (1 - self.decay) * spikes.detach()
            out.append(spikes)
        return torch.stack(out), (u, raised)


class Recurrent(nn.Module):
    """A layer that its own spikes drive one step later."""

    def __init__(self, synapse, back, neurons):
        super().__init__()
        self.synapse, self.back, self.neurons = synapse, back, neurons

    @property
    def layers(self):
        return (SpikingLayer("", self.synapse, None, self.neurons),)

    def forward(self, x, call=Call(), state=None):
        membrane, spikes = state or (None, None)
        out = []
        for t, drive in enumerate(fold_time(self.synapse, x).split(1), start=call.first):
            now = Call(t, whole=False, noise=call.noise, reduce=call.reduce)
            y = drive if spikes is None else drive + self.back(spikes)
            (spikes,), membrane = self.neurons(y, now, membrane)
            out.append(spikes)
        return torch.stack(out), (membrane, spikes)


@bntt.register.network("lsnn")
def lsnn(*, in_features, num_classes, num_steps, leak=0.95, norm="none", width=1.0, seed=0, **options):
    """Return a recurrent layer of 220 neurons before a leakless readout; it has no norm."""
    if norm != "none":
        raise ValueError(f"an LSNN has no norm, got {norm!r}: set network.norm=none")
    if other := [name for name, value in options.items() if value != getattr(NeuronOptions(), name)]:
        raise ValueError(f"network.{other[0]}={options[other[0]]!r}: an LSNN has neurons of its own: leave it out")
    hidden = max(2, round(220 * width))
    layers = [nn.Linear(in_features, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)]
    readout = nn.Linear(hidden, num_classes, bias=False)
    generator = torch.Generator().manual_seed(seed)
    for layer in (*layers, readout):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
    synapse = nn.Sequential(nn.Flatten(), layers[0])
    network = SpikingNetwork({"fc1": Recurrent(synapse, layers[1], AdaptiveLIF(hidden, leak))}, Readout(readout))
    network.num_steps = num_steps
    return network
