"""``torch.export`` of a network and of its steps, for batches of any size: the numbers of the network itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ShapesCollection, export

import bntt
from bntt.nn import NetworkState, SpikingNetwork
from tests.nn.network.test_kept import with_statistics

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_hook")]  # whose sizes are symbols, which are no int
T = 3


class Step(nn.Module):
    def __init__(self, net: SpikingNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, state: NetworkState | None) -> tuple[Tensor, NetworkState]:
        return self.net.advance(x, state)


def vgg(norm: str) -> SpikingNetwork:
    return bntt.models.vgg6(num_steps=T, width=0.25, image_size=8, norm=norm)


NETS = {
    "bntt": lambda: vgg("bntt"),
    "folded": lambda: bntt.nn.fold(vgg("tebn")),
    "resnet19": lambda: bntt.models.resnet19(num_steps=T, width=0.0625, in_channels=1),
}


def loud(name: str) -> SpikingNetwork:
    """So that spikes reach the readout, and nothing is not compared with nothing."""
    net = with_statistics(NETS[name]())
    for part, weight in net.named_parameters():
        if weight.ndim > 1 and "norm" not in part:
            weight.mul_(4)
    return net


@torch.no_grad()
@pytest.mark.parametrize("name", NETS)
def test_a_program_gives_the_numbers_of_its_network(name, rng):
    net = loud(name)
    net.compute = bntt.Compute("reference")
    x, batch = torch.randn(T, 3, 1, 8, 8, generator=rng), Dim("batch")
    whole = export(net, (x,), dynamic_shapes={"x": {1: batch}}).module()
    _, state = net.advance(x[:1])
    shapes, part = ShapesCollection(), x[1:2]
    shapes[part] = {1: batch}
    for tensor in torch.utils._pytree.tree_leaves(state):
        if isinstance(tensor, Tensor):
            shapes[tensor] = {0: batch}
    step = export(Step(net), (part, state), dynamic_shapes=shapes).module()
    for size in (1, 5):
        x = torch.randn(T, size, 1, 8, 8, generator=rng)
        assert torch.equal(whole(x), net(x))
        assert net(x).abs().max() > 0
        _, state = net.advance(x[:1])
        got, want = step(x[1:2], state), net.advance(x[1:2], state)
        assert torch.equal(got[0], want[0])
        assert (got[1].steps, got[1].batch, got[1].noise.draw) == (2, size, 0)
        assert torch.equal(net.advance(x[2:], got[1])[0], net.advance(x[2:], want[1])[0])
        with pytest.raises(ValueError, match="tree"):
            step(x[2:], want[1])  # a program is for its own step


@torch.no_grad()
def test_a_classifier_takes_images_in_its_program(rng):
    model, images = bntt.SpikingClassifier(bntt.PoissonEncoder(T), loud("bntt")), torch.rand(2, 1, 8, 8, generator=rng)
    model.network.compute = bntt.Compute("reference")
    assert torch.equal(export(model, (images,)).module()(images), model(images))
    assert model(images).abs().max() > 0


@torch.no_grad()
def test_a_step_is_kept_in_a_file_and_read_without_pickled_code(rng, tmp_path):
    net = loud("folded")
    net.compute = bntt.Compute("reference")
    x = torch.randn(T, 2, 1, 8, 8, generator=rng)
    _, state = net.advance(x[:1])
    files = [str(tmp_path / name) for name in ("step.pt2", "given.pt", "found.pt")]
    torch.export.save(export(Step(net), (x[1:2], state)), files[0])
    torch.save((x[1:2], state), files[1])
    code = (
        "import sys, torch, bntt.nn\n"
        "step, x, state = torch.export.load(sys.argv[1]).module(), *torch.load(sys.argv[2])\n"
        "torch.save(step(x, state), sys.argv[3])\n"
    )
    said = subprocess.run([sys.executable, "-c", code, *files], check=True, capture_output=True, text=True)
    assert "weights_only" not in said.stderr
    got, want = torch.load(files[2]), net.advance(x[1:2], state)
    assert torch.equal(got[0], want[0])
    assert torch.equal(net.advance(x[2:], got[1])[0], net.advance(x[2:], want[1])[0])
