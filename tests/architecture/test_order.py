"""Inside a room imports point one way too: a file imports only files of the rows before its own."""

import pytest

from tests.architecture.source import FILES, SOURCE, imports, name

ORDER = {
    "ops": [
        ["random", "spike", "poisson", "norm"],
        ["lif", "pooling", "dropout", "retime"],
        ["folded"],
        ["fold"],
        ["__init__"],
    ],
    "engine": [
        ["__init__", "_cpu.__init__", "_triton.__init__"],
        ["private", "workspace", "compute", "neuron", "door", "_triton.kernels"],
        ["_cpu.library"],
        ["_cpu.launch", "_triton.launch", "poisson", "synapse"],
        ["kernels", "crossover", "arrivals", "prepared"],
        ["scan", "measure", "drive"],
        ["node"],
        ["layer", "firing", "flow"],
        ["normalisation", "between", "spans"],
        ["layer_pass"],
        ["stack"],
    ],
    "nn": [
        ["given"],
        ["call", "untouched", "trace", "samples", "encoder", "measure"],
        ["stage", "norm", "lif", "state", "pixels", "dropout", "rectifier"],
        ["weights"],
        ["readout", "block", "norms", "statistics", "watch", "analog", "expected", "sequence", "residual", "folded"],
        ["known", "settle"],
        ["fuse"],
        ["plan", "parts"],
        ["advance", "poisson"],
        ["network", "noisy"],
        ["classifier", "fold", "retime"],
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
    assert file_of("engine.layer.Gradients") == file_of("engine.layer") == "engine.layer"
    assert file_of("engine._cpu.library.call") == file_of("engine._cpu.library") == "engine._cpu.library"
    assert file_of("nn.BNTT") == "nn.__init__"
