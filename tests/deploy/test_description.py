"""The description of a network: the numbers that it evaluates with, what is refused and by which name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import bntt
from bntt.deploy import DeployError, Runtime, describe
from bntt.deploy.description import Pictures
from bntt.models import mlp, vgg6
from bntt.nn import (
    LIF,
    NORMS,
    CurrentBlock,
    NoisyEncoder,
    NoNorm,
    Readout,
    Residual,
    SpikingBlock,
    SpikingNetwork,
)
from tests.nn.networks import dense, quiet
from tests.rows import each_row

STEPS, CHANNELS = 3, 4


def linear(inputs: int, outputs: int) -> nn.Linear:
    return dense(inputs, outputs, torch.Generator().manual_seed(inputs))


def randomized(module: nn.Module) -> nn.Module:
    """The same with parameters and statistics that are not where they start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in (*module.named_parameters(), *module.named_buffers()):
            if "norm" in name or isinstance(module, bntt.nn.TemporalNorm):
                values.add_(0.2 * torch.rand(values.shape, generator=generator))
    return module.eval()


def net_of(block: nn.Module, **more) -> bntt.SpikingClassifier:
    network = SpikingNetwork({"fc1": block}, Readout(linear(CHANNELS, 2)))
    return bntt.SpikingClassifier(more.get("encoder", bntt.SequenceEncoder(STEPS)), network)


def test_residual_blocks_within_residual_blocks_are_a_list_of_nodes():
    def spiking() -> SpikingBlock:
        return SpikingBlock(linear(CHANNELS, CHANNELS), NORMS["bntt"](CHANNELS, STEPS, 1.0), LIF())

    inner = Residual({"a": spiking()}, {"b": spiking()})
    model = randomized(net_of(Residual({"inner": inner}, after=Residual({"c": spiking()})))).double()
    made, rng = describe(model, input_shape=[CHANNELS]), torch.Generator().manual_seed(0)
    x = torch.randn(5, STEPS, CHANNELS, dtype=torch.float64, generator=rng)
    assert [node.name for node in made.nodes] == [
        *("fc1.inner.a", "fc1.inner.b", "fc1.inner", "fc1", "fc1.after.c", "fc1.after", "readout")
    ]
    assert np.abs(Runtime(made, "float64").run(x.numpy()) - model(x).detach().numpy()).max() < 1e-14


def test_what_the_description_says_beside_the_layers():
    network = vgg6(num_steps=4, width=0.25, fire="before")
    encoder = bntt.PoissonEncoder(4, mean=[0.3], std=[0.2])
    made = describe(bntt.SpikingClassifier(encoder, network), classes=list("abcdefghij"), run={"commit": "1"})
    assert (made.encoder.kind, made.encoder.mean, made.input_shape) == ("poisson", (float(encoder.mean),), (1, 28, 28))
    assert (made.classes[1], made.provenance) == ("b", {"commit": "1"})
    assert made.layers[1].driven == (1, 1)  # of four steps, five layers that fire a step late leave none
    assert np.array_equal(made.layers[0].gamma, np.ones(4))


class OwnNorm(NoNorm):
    """A norm of a user's that says to be none."""


class OwnNeurons(LIF):
    """Neurons of a user's."""


class Warmer(bntt.SpikingClassifier):
    def forward(self, x, **call):
        return 2 * super().forward(x, **call)


def block_of(synapse=None, norm=None, lif=None, pool=None) -> SpikingBlock:
    return SpikingBlock(synapse or linear(5, CHANNELS), norm or NoNorm(), lif or LIF(), pool)


def hooked(module: nn.Module, part: str = "") -> nn.Module:
    module.get_submodule(part).register_forward_hook(lambda module, args, out: None)
    return module


def flat(**changed) -> bntt.SpikingClassifier:
    kind, network = changed.get("kind", bntt.SpikingClassifier), mlp(in_features=5, num_steps=STEPS)
    return kind(changed.get("encoder", bntt.SequenceEncoder(STEPS)), changed.get("network", network))


REFUSED = [
    (net_of(block_of(norm=bntt.LayerNorm(CHANNELS))), "'fc1' .*LayerNorm"),
    (net_of(block_of(lif=OwnNeurons())), "'fc1' .*OwnNeurons"),
    (net_of(block_of(lif=bntt.nn.Rectifier())), "'fc1' .*Rectifier"),
    (net_of(block_of(lif=quiet())), "'fc1' .*Quiet"),
    (net_of(block_of(norm=OwnNorm())), "'fc1' .*OwnNorm"),
    (net_of(block_of(pool=nn.AvgPool2d(3, stride=2))), "'fc1' .*AvgPool2d"),
    (net_of(hooked(block_of(), "norm")), r"^network\.blocks\.fc1\.norm"),
    (net_of(hooked(block_of())), r"^network\.blocks\.fc1 "),
    (net_of(block_of(linear(6, CHANNELS))), "'fc1'"),
    (net_of(block_of(nn.Sequential(linear(5, CHANNELS), nn.Flatten()))), "'fc1' .*Flatten"),
    (flat(encoder=NoisyEncoder(bntt.DirectEncoder(STEPS), 0.1)), "NoisyEncoder"),
    (flat(kind=Warmer), "^the classifier"),
    (flat(network=hooked(mlp(in_features=5, num_steps=STEPS))), "^network "),
]


@each_row("model, named", REFUSED)
def test_what_cannot_be_described_is_refused_by_name(model, named):
    with pytest.raises(DeployError, match=named):
        describe(model, input_shape=[5])


def test_a_shape_that_is_not_known_and_a_hook_of_every_module_are_refused():
    with pytest.raises(DeployError, match="input_shape"):
        describe(flat(encoder=bntt.DirectEncoder(STEPS)))
    handle = register_module_forward_hook(lambda module, args, out: None)
    try:
        with pytest.raises(DeployError, match="every module"):
            describe(flat())
    finally:
        handle.remove()


def test_a_description_that_describes_no_network_is_refused():
    made = describe(net_of(CurrentBlock(linear(5, CHANNELS), NORMS["bn"](CHANNELS, STEPS, 1.0))), input_shape=[5])
    first, last = made.nodes
    for changes, named in (
        ({"nodes": (first,)}, "classes"),
        ({"nodes": (replace(first, reads=0), last)}, "'fc1'"),
        ({"nodes": (replace(first, scale=first.scale[:2]), last)}, "'fc1': its scale"),
        ({"nodes": (replace(first, shift=first.shift * np.nan), last)}, "'fc1': its shift"),
        ({"input_shape": (6,)}, "'fc1': its weights"),
        ({"encoder": replace(made.encoder, num_steps=4)}, "its scale"),
        ({"encoder": replace(made.encoder, std=(0.0,), mean=(1.0,))}, "std"),
        ({"pictures": Pictures((3, 32, 32), order="rows")}, "pictures"),
        ({"pictures": Pictures((1, 1 << 14, 1 << 14))}, "pictures"),
        ({"pictures": Pictures((2, 4, 4))}, "pictures"),
        ({"pictures": Pictures((0, 4, 4))}, r"pictures\.shape"),
    ):
        with pytest.raises(DeployError, match=named):
            replace(made, **changes)
