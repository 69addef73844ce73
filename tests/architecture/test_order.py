"""Inside a room imports point one way too: a file imports only files of the rows before its own."""

import pytest

from tests.architecture.source import FILES, SOURCE, imports, name

ORDER = {
    "ops": [
        ["random", "spike", "norm"],
        ["lif", "poisson", "pooling", "dropout", "retime"],
        ["folded"],
        ["fold"],
        ["__init__"],
    ],
    "engine": [
        ["__init__", "cpu.__init__", "triton.__init__", "graph.__init__"],
        ["private", "workspace", "compute", "layer_spec", "door", "triton.kernels"],
        ["cpu.library"],
        ["cpu.launch", "triton.launch", "rate_coding", "synapse"],
        ["kernels", "crossover", "presynaptic", "packed_weights"],
        ["scan", "graph.recording", "drive"],
        ["graph.node"],
        ["graph.layer", "graph.fire", "graph.flow"],
        ["graph.normalisation", "graph.weightless", "graph.spans"],
        ["graph.layer_pass"],
        ["graph.stack"],
    ],
    "nn": [
        ["norms.__init__", "neurons.__init__", "encoders.__init__", "blocks.__init__", "network.__init__"],
        ["fusion.__init__", "tensor_checks"],
        ["network.call", "fusion.untouched", "network.trace", "network.labelled_batch", "encoders.encoder"],
        ["network.measured"],
        ["blocks.stage", "norms.temporal", "neurons.lif", "network.state", "encoders.pixels", "blocks.dropout"],
        ["neurons.rectifier", "blocks.weights"],
        ["blocks.readout", "blocks.block", "norms.methods", "norms.held_statistics", "network.watch"],
        ["encoders.analog", "encoders.expected", "encoders.sequence", "blocks.residual", "neurons.varying_lif"],
        ["fusion.supported", "network.settings"],
        ["fusion.fuse"],
        ["fusion.plan", "fusion.coverage"],
        ["network.advance", "encoders.poisson"],
        ["network.spiking_network", "encoders.noisy"],
        ["network.classifier", "network.fold", "network.retime"],
        ["__init__"],
    ],
}
ROW = {f"{room}.{file}": i for room, rows in ORDER.items() for i, row in enumerate(rows) for file in row}
ORDERED = [path for path in FILES if path.relative_to(SOURCE).parts[0] in ORDER]


def module(path) -> str:
    return name(path).removesuffix(".py").replace("/", ".")


def file_of(imported: str) -> str:
    """The file that an import opens: itself, or the one that the name is in; of a folder its ``__init__``."""
    for candidate in (imported, imported.rpartition(".")[0]):
        if candidate in ROW:
            return candidate
        if f"{candidate}.__init__" in ROW:
            return f"{candidate}.__init__"
    raise AssertionError(f"bntt.{imported} is in no file of the list")


def test_every_file_is_in_one_row():
    listed = [f"{room}.{file}" for room, rows in ORDER.items() for row in rows for file in row]
    assert sorted(listed) == sorted(map(module, ORDERED))


@pytest.mark.parametrize("path", ORDERED, ids=name)
def test_imports_point_up_the_list(path):
    own = module(path)
    room = own.partition(".")[0]
    for imported in imports(path):
        if imported.partition(".")[0] == room:
            file = file_of(imported)
            assert ROW[file] < ROW[own], f"{own} imports {file}"


def test_a_name_is_found_in_its_file():
    assert file_of("engine.graph.layer.Gradients") == file_of("engine.graph.layer") == "engine.graph.layer"
    assert file_of("engine.cpu.library.call") == file_of("engine.cpu.library") == "engine.cpu.library"
    assert file_of("nn.BNTT") == "nn.__init__"
