"""A plain ANN, read as layers: in evaluation the same function, or an error that names the part."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from bntt.training.conversion import read_sequential
from tests.rows import each_row


def again(layers, readout, x):
    for _, synapse, pool in layers:
        x = synapse(x).relu()
        x = x if pool is None else pool(x)
    return readout(x)


@pytest.fixture
def plain(rng):
    with torch.random.fork_rng():
        return filled(made(), rng)


def made():
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AvgPool2d(2), nn.Flatten()
    )
    head = nn.Sequential(nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 3))
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("head", head)
    return net


def filled(net, rng):
    for value in [*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())]:
        value.data = torch.rand(value.shape, generator=rng) + 0.1 - 0.5 * (value.ndim > 1)
    return net


def test_it_is_the_same_function_in_evaluation(plain, rng):
    x = torch.randn(3, 1, 8, 8, generator=rng)
    layers, readout = read_sequential(plain)
    assert [name for name, _, _ in layers] == ["features_0", "head_0"]
    torch.testing.assert_close(again(layers, readout, x), plain.eval()(x))
    assert layers[0][1].bias is not None
    assert plain.get_submodule("features.0").bias is None
    assert isinstance(plain.get_submodule("features.1"), nn.BatchNorm2d)


def test_what_stands_before_the_first_weights_goes_with_them(rng):
    with torch.random.fork_rng():
        net = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    layers, readout = read_sequential(net)
    x = torch.rand(2, 1, 4, 4, generator=rng)
    torch.testing.assert_close(again(layers, readout, x), net(x))


def test_a_part_that_stands_twice_is_read_twice(rng):
    """An activation, a pool and a block that a network passes more than once; its weights are copied each time."""
    with torch.random.fork_rng():
        act, pool, block = nn.ReLU(), nn.AvgPool2d(3, 1, 1), nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        first = nn.Sequential(nn.Conv2d(1, 4, 3), act, pool, nn.Conv2d(4, 2, 3), act, pool, nn.Flatten())
        net = nn.Sequential(first, nn.Linear(32, 8), act, block, block, nn.Linear(8, 3))
    x = torch.randn(3, 1, 8, 8, generator=rng)
    layers, readout = read_sequential(net)
    assert [name for name, _, _ in layers] == ["0_0", "0_3", "1", "3_0", "4_0"]
    torch.testing.assert_close(again(layers, readout, x), net(x))
    assert layers[3][1].bias is not layers[4][1].bias


class Skip(nn.Sequential):
    """A residual connection, as it is often written."""

    def forward(self, x):
        return x + super().forward(x)


HOOKED = nn.ReLU()
HOOKED.register_forward_hook(lambda module, args, out: 2 * out)


@each_row(
    ("parts", "message"),
    [
        ([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Linear(2, 2)], "'2', a MaxPool2d.*average pooling"),
        ([nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Linear(2, 2)], "'1', a MaxPool2d.*average pooling"),
        ([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2), nn.Linear(2, 2)], "'2', a BatchNorm2d.*after weights"),
        ([nn.Linear(2, 2), nn.Linear(2, 2)], "'1', a Linear, .* follows the weights '0', where a ReLU must be"),
        ([nn.Linear(2, 2), nn.AvgPool2d(2), nn.ReLU(), nn.Linear(2, 2)], "'1', a AvgPool2d.*where a ReLU"),
        ([nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2)], "'1', a Sigmoid"),
        ([nn.Linear(2, 2), nn.ReLU(), nn.LayerNorm(2), nn.Linear(2, 2)], "'2', a LayerNorm.*average pooling or flat"),
        ([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Softmax(1)], "'3', a Softmax.*leave it out"),
        ([nn.Linear(2, 2), nn.ReLU()], "ends without an output layer"),
        (
            [Skip(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2)],
            "'0', a Skip, .* a forward of its own, which would be",
        ),
        ([nn.Linear(2, 2), HOOKED, nn.Linear(2, 2)], "'1', a ReLU, cannot be converted: it has a hook or"),
        (
            [spectral_norm(nn.Linear(2, 2)), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2)],
            "'0', a ParametrizedLinear, .* has a parametrization, and '1' would be folded .*remove_parametrizations",
        ),
        ([nn.Flatten(), nn.Linear(2, 2)], "no hidden layer"),
        (
            [nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False), nn.ReLU(), nn.Linear(2, 2)],
            "'1', a BatchNorm1d, cannot be converted: it has no running statistics",
        ),
    ],
)
def test_what_cannot_be_read_is_named(parts, message):
    with pytest.raises(ValueError, match=message):
        read_sequential(nn.Sequential(*parts))


def test_a_network_with_a_forward_of_its_own_is_refused():
    with pytest.raises(ValueError, match="'the ANN', a Skip, cannot be converted"):
        read_sequential(Skip(nn.Flatten(), nn.ReLU()))
