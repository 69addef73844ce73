"""Every test has a fixed number of threads, with shapes checked, unset memory poisoned and the network closed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from jaxtyping import install_import_hook

import tests.checking

SOURCE = Path(__file__).parents[1] / "src" / "bntt"
CHECKED = [
    f"bntt.{path.relative_to(SOURCE).with_suffix('').as_posix().replace('/', '.')}" for path in SOURCE.rglob("*.py")
]
install_import_hook(  # for good: as a context manager it would end before bntt is imported
    # Triton reads its functions' source; two choices check themselves, and tests try them with nonsense
    [name for name in CHECKED if "triton" not in name and name not in ("bntt.engine.compute", "bntt.training.method")],
    "tests.checking.checked",
)

import torch  # noqa: E402

from bntt.charts import files, svg  # noqa: E402, F401 -- svg keeps the real function: pages draw all their pictures
from bntt.charts.records import Figure  # noqa: E402
from bntt.engine.cpu import library  # noqa: E402

DRAWN: set[tuple[tuple[type, str], ...]] = set()
if library.LIBRARY is not None and (forced := os.environ.get("BNTT_TEST_KERNELS")) in library.variants():
    library.use_variant(forced)
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic algorithms on a GPU ask for
torch.backends.cudnn.allow_tf32 = False
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, which bntt does not do by itself


if threading.current_thread() is threading.main_thread():  # a shell's job in the background ignores Ctrl-C, and a
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # process of a test would inherit that, and nohup's
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


@pytest.fixture
def no_hook():
    """Calls as users make them: without the tests' own look at every argument's type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The test's own folder for prepared data."""
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def hard_conditions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fixed number of threads; ``torch.empty`` gives NaN; a socket to anywhere but this machine raises."""

    def connect(self: socket.socket, address: Any, real: Any = socket.socket.connect) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests do not use the network, asked for {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    torch.set_num_threads(tests.checking.THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.set_num_threads(tests.checking.THREADS)


@pytest.fixture(autouse=True)
def pictures_drawn_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each figure of other charts is drawn once a process, and blank from then on, but in the tests of drawing."""

    def drawn(figure: Figure, real: Callable[[Figure], Any] = files.draw_figure) -> Any:
        key = tuple((type(chart), chart.title) for chart in figure.charts)
        if not key or key not in DRAWN:
            DRAWN.add(key)
            return real(figure)
        from matplotlib.figure import Figure as Blank

        return Blank()

    if "charts" not in request.path.parts:
        monkeypatch.setattr(files, "draw_figure", drawn)


@pytest.fixture(autouse=True)
def global_generator_untouched() -> Iterator[None]:
    """Library code never draws from torch's global generator; tests draw from their own."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global random generator was used"


@pytest.fixture(scope="session", autouse=True)
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder for the trained runs of all workers of a test run: ``tests/trained.py``."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "trained"
    folder.mkdir(exist_ok=True)
    os.environ["BNTT_SHARED_RUNS"] = str(folder)


@pytest.fixture
def rng() -> torch.Generator:
    """A generator for a test's own numbers."""
    return torch.Generator().manual_seed(1)
