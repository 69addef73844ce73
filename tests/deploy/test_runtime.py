"""The runtime without PyTorch: the library's float64 spikes, its noise to the bit, steps, rows, exits, and no torch."""

import copy
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import bntt
from bntt.analysis.exit.early_exit import CRITERIA, certainty, exit_step, gamma_profile
from bntt.data.samples import places
from bntt.deploy import DeployError, Runtime, describe, export
from bntt.deploy.description import Description, Encoder, Layer, Neurons, Weights
from bntt.deploy.runtime import arrays
from bntt.deploy.runtime import runtime as module
from bntt.deploy.runtime.arrays import noise_of, samples_of
from bntt.engine.cpu import library as library_of_kernels
from bntt.models import MODELS, pretrained
from bntt.nn import NORMS, fold
from bntt.ops.random import Purpose, sample_keys, step_keys, uniform
from tests.deploy.networks import LEAKS, classifier, library
from tests.grids import all_pairs
from tests.kernels import needs_kernels
from tests.rows import each_row

CODINGS = ("poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence")
GRID = all_pairs(
    list(MODELS),
    CODINGS,
    [name for name in NORMS if name != "layer"],
    ["after", "before"],
    ["soft", "hard"],
    list(LEAKS),
    ["voltage", "spikes"],
)
DRAW = {"seed": 5, "draw": 7}
NOISE = DRAW | {"index": np.array([4, 0, 9])}


def runs(runtime: Runtime, samples: np.ndarray):
    """Logits after every step and membranes after the last of a runtime, one step at a time."""
    timed, state, logits = runtime.description.encoder.kind in ("frames", "sequence"), None, []
    for t in range(runtime.description.num_steps):
        said, state = runtime.step(samples[:, t] if timed else samples, state, **(NOISE if t == 0 else {}))
        logits.append(said)
    return np.stack(logits), [one for one in state.membranes[:-1] if one is not None], state


def networks(grid):
    """The networks of a grid: each with its description, its samples, and what the library gives for them."""
    spoke = 0
    for name, coding, norm, fire, reset, leak, readout in grid:
        if coding == "sequence" and name != "mlp":
            coding = "frames"
        options = {"norm": norm, "fire": fire, "reset": reset, "readout": readout, **LEAKS[leak]}
        model, samples, shape = classifier(name, coding, **options)
        logits, membranes = library(model, samples, **NOISE)
        spoke += bool(np.ptp(logits[-1], axis=0).max() > 0)
        yield (name, coding, options), describe(model, input_shape=shape), samples, logits, membranes
    assert 4 * spoke > len(grid)


@pytest.mark.parametrize("grid", [GRID[::13], pytest.param(GRID, marks=pytest.mark.slow)], ids=["some", "pairs"])
def test_every_model_norm_rule_reset_leak_and_coding_has_the_librarys_float64_numbers(grid):
    for case, made, samples, logits, membranes in networks(grid):
        runtime = Runtime(made, "float64")
        found, own, _ = runs(runtime, samples.astype(np.float64))
        assert np.abs(found - logits).max() < 1e-10, case
        for one, other in zip(own, membranes, strict=True):
            assert np.abs(one - other).max() < 1e-9, case  # a spike more or less would be seen
        whole = runtime.trace(samples.astype(np.float64), **NOISE)
        assert np.abs(whole - logits).max() < 1e-10, case


@needs_kernels
@pytest.mark.parametrize("grid", [GRID[3::13], pytest.param(GRID, marks=pytest.mark.slow)], ids=["some", "pairs"])
def test_the_kernels_have_the_same_numbers(grid):
    different: list[float] = []
    for case, made, samples, logits, membranes in networks(grid):
        found, own, _ = runs(Runtime(made, "float32", "kernels"), samples)
        pairs = zip((found, *own), (logits, *membranes), strict=True)
        shares = [(np.abs(one - other) > 1e-4 * (1 + np.abs(other))).mean() for one, other in pairs]
        assert max(shares) < 0.1, (case, shares)  # what follows from a tie
        different += shares
    assert np.mean(different) < 2e-3


@pytest.mark.parametrize(("fire", "reset"), all_pairs(["after", "before"], ["soft", "hard"]))
def test_folded_neurons_have_the_librarys_float64_numbers(fire, reset):
    for name in ("mlp", "vgg6"):
        options = {"fire": fire, "reset": reset, "decay_input": True, "leak": 0.5, "threshold": 0.3}
        model, samples, shape = classifier(name, "poisson", **options)
        model.network = fold(model.network.double())
        assert any(layer.lif.turned.any() for layer in model.network.layers.values())
        logits, membranes = library(model, samples, **NOISE)
        made = describe(model, input_shape=shape)
        found, own, _ = runs(Runtime(made, "float64"), samples.astype(np.float64))
        assert np.ptp(logits[-1], axis=0).max() > 0, "they fire"
        assert np.abs(found - logits).max() < 1e-10
        for one, other in zip(own, membranes, strict=True):
            assert np.abs(one - other).max() <= 1e-9 * (1 + np.abs(other).max())
        if library_of_kernels.LIBRARY is not None:
            apart = np.abs(runs(Runtime(made, backend="kernels"), samples)[0] - logits) > 1e-5
            assert apart.mean() <= (0 if name == "mlp" else 0.1), "what follows from a tie in float32"


def test_random_numbers_are_the_librarys_to_the_bit():
    index = np.array([0, 3, 2**40, 2**63 - 1])
    keys = arrays.sample_keys(2**62, arrays.SPIKES, 2**32 + 1, index)
    theirs = sample_keys(2**62, Purpose.SPIKES, 2**32 + 1, torch.from_numpy(index))
    assert np.array_equal(keys.astype(np.int64), theirs.numpy())
    noise = arrays.Noise(2**62, 2**32 + 1, index)
    drawn = arrays.uniform(noise.keys(range(2, 5)), 50)
    assert np.array_equal(drawn, uniform(step_keys(theirs, torch.arange(2, 5)), 50).numpy())
    assert (arrays.SPIKES, arrays.PIXELS) == (Purpose.SPIKES, Purpose.PIXELS)
    assert np.array_equal(arrays.places(100), places(100).numpy())


@needs_kernels
def test_the_kernels_draw_the_same_spikes_and_run_them():
    images = np.random.default_rng(0).random((3, 2, 5, 7), dtype=np.float32)
    noise = noise_of(5, 2**32, [3, 2**40, 0], 3)
    for kind, scales in (("poisson", {"mean": (0.5, 0.4), "std": (0.25, 0.3)}), ("poisson-unsigned", {})):
        ones = np.ones((4, 2))
        readout = Layer("readout", -1, ones, 0 * ones, Weights(np.ones((2, 70))))
        made = Description((readout,), Encoder(kind, 4, **scales), ("a", "b"), (2, 5, 7))
        values = samples_of(made, images, np.float32, whole=True)
        ours = Runtime(made, backend="kernels")._network
        drawn = arrays.encode(made, values, noise, range(1, 4))
        assert np.array_equal(arrays.encode(made, values, noise, range(1, 4), threads=1), drawn)
        assert set(np.unique(drawn)) == ({-1, 0, 1} if kind == "poisson" else {0, 1})
        assert np.array_equal(ours.advance(drawn, range(1, 4), None)[0], drawn.sum((2, 3, 4))[..., None] * np.ones(2))


def test_samples_leave_and_the_others_go_on_as_they_would_alone():
    model, samples, shape = classifier("vgg6", "poisson", norm="bntt")
    runtime = Runtime(describe(model, input_shape=shape), "float64")
    samples = samples.astype(np.float64)
    all_of_them = runtime.trace(samples, **NOISE)
    assert np.abs(all_of_them[1][2] - all_of_them[1][0]).max() > 1e-6, "each has logits of its own"
    _, state = runtime.step(samples, **NOISE)
    kept = [image.copy() for image in state.membranes if image is not None]
    logits, later = runtime.step(samples[[2, 0]], state.rows([2, 0]))
    assert np.abs(logits - all_of_them[1][[2, 0]]).max() < 1e-12
    logits, _ = runtime.step(samples[:1], later.rows([False, True]))
    assert np.abs(logits - all_of_them[2][:1]).max() < 1e-12
    assert all(map(np.array_equal, kept, [image for image in state.membranes if image is not None]))


def test_of_a_large_network_fewer_samples_run_at_once(monkeypatch):
    model, samples, shape = classifier("vgg6", "poisson")
    runtime, sizes = Runtime(describe(model, input_shape=shape), "float64"), []
    samples, real = samples.astype(np.float64), runtime._network.advance
    monkeypatch.setattr(runtime._network, "advance", lambda x, *rest: sizes.append(x.shape[1]) or real(x, *rest))
    whole = runtime.run(samples, **NOISE)
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    assert np.abs(runtime.run(samples, **NOISE) - whole).max() < 1e-12
    assert sizes == [3, 1, 1, 1]


def test_exits_are_those_of_the_library(monkeypatch):
    model, images = pretrained(), bntt.data.fashion_mnist_bundled().test.batch(torch.arange(24))
    runtime, profile = Runtime(describe(model)), gamma_profile(model.network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at a threshold that nothing reaches
        for threshold in np.linspace(0, 3, 61):
            assert runtime.exit_step(float(threshold)) == exit_step(profile, float(threshold))
    with pytest.warns(UserWarning, match=r"no mean \|γ\| reaches the exit threshold 9 at any step: stopping after 1"):
        assert runtime.exit_step(9.0) == 1
    logits = runtime.trace(images.numpy(), **DRAW)
    asked: list[int] = []
    measured = module.certainty
    monkeypatch.setattr(module, "MOST_SAMPLES", 7)
    monkeypatch.setattr(module, "certainty", lambda y, by: asked.append(len(y)) or measured(y, by))
    for criterion, threshold in zip(CRITERIA, (0.8, 0.5, 0.4), strict=True):
        theirs = np.stack([certainty(torch.from_numpy(step), criterion).numpy() for step in logits])
        assert np.abs(np.stack([measured(step, criterion) for step in logits]) - theirs).max() < 1e-6
        asked.clear()
        answers = runtime.answer(images.numpy(), criterion, threshold, **DRAW)
        assert max(asked) == 7, "the samples run in parts"
        leaves = theirs >= threshold
        leaves[-1] = True
        assert np.array_equal(answers.steps, leaves.argmax(0) + 1)
        assert len(set(answers.steps.tolist())) > 2
        expected = logits[answers.steps - 1, np.arange(24)]
        assert np.abs(answers.logits - expected).max() < 1e-5


@torch.no_grad()
def test_a_thousandth_of_the_answers_may_differ_in_float32_and_two_hundredths_in_int8(tmp_path):
    model, images = pretrained(), bntt.data.fashion_mnist_bundled().test.batch(torch.arange(30))
    exact = copy.deepcopy(model).double()(images.double(), **DRAW).numpy()
    for weights, least in (("float32", 30), ("float16", 30), ("int8", 29)):
        export(model, tmp_path / "x", weights=weights)
        runtime = Runtime(tmp_path / "x")
        logits = runtime.run(images.numpy(), **DRAW)
        assert (logits.argmax(1) == exact.argmax(1)).sum() >= least
        if weights == "float32":
            assert (np.abs(logits - exact).max(1) < 1e-4).sum() >= 29
            off = np.abs(runtime.run(images[20:].numpy(), index=np.arange(20, 30), **DRAW) - logits[20:]).max()
            assert off <= 1e-4 * (runtime.backend == "numpy")


@needs_kernels
def test_some_steps_are_the_first_and_threads_change_no_bit():
    images = bntt.data.fashion_mnist_bundled().test.batch(torch.arange(4)).numpy()
    for backend, dtype, error in (("kernels", "float32", 0.0), ("numpy", "float64", 1e-12)):  # NumPy rounds by rows
        one, many = (Runtime(describe(pretrained()), dtype, backend, threads) for threads in (1, 3))
        rows = one.trace(images)
        assert max(np.abs(one.run(images, steps=t + 1) - row).max() for t, row in enumerate(rows)) <= error
        assert np.abs(rows[1:] - rows[:-1]).max() > 1e-3, "the steps differ"
        assert many.trace(images).tobytes() == rows.tobytes()


def all_steps(runtime: Runtime, samples: np.ndarray):
    """One more step than there are."""
    state = None
    for _ in range(runtime.num_steps + 1):
        _, state = runtime.step(samples, state)


REFUSED = [
    (lambda r, x: r.run((x * 255).astype(np.uint8)), TypeError, "uint8"),
    (lambda r, x: r.run(x * 3), DeployError, "samples"),
    (lambda r, x: r.run(x * np.nan), DeployError, "samples"),
    (lambda r, x: r.run(x[0]), DeployError, "samples"),
    (lambda r, x: r.run(x, steps=9), DeployError, "steps"),
    (lambda r, x: r.run(x, steps=2.0), DeployError, "steps"),
    (lambda r, x: r.run(x, index=[0.5, 1, 2]), DeployError, "index"),
    (lambda r, x: r.run(x, seed=-1), DeployError, "seed"),
    (lambda r, x: r.step(x[:2], r.step(x)[1]), DeployError, "state"),
    (lambda r, x: r.step(x, r.step(x)[1], seed=9), DeployError, "seed"),
    (lambda r, x: r.step(x, r.step(x, draw=2)[1], draw=0), DeployError, "draw"),
    (lambda r, x: r.step(x, r.step(x)[1], index=[0, 1, 7]), DeployError, "index"),
    (lambda r, x: all_steps(r, x[:1]), DeployError, "state"),
    (lambda r, x: r.step(x, replace(r.step(x)[1], membranes=(None,))), DeployError, "state"),
    (lambda r, x: r.step(x)[1].rows([0, 3]), IndexError, "3"),
    (lambda r, x: r.step(x)[1].rows([0.5]), IndexError, "integer"),
    (lambda r, x: r.exit_step(-1), DeployError, "threshold"),
    (lambda r, x: r.answer(x, "hope", 0.5), DeployError, "criterion"),
    (lambda r, x: Runtime(r.description, threads=0), DeployError, "threads"),
    (lambda r, x: Runtime(r.description, "float64", "kernels"), DeployError, "kernels"),
    (lambda r, x: Runtime(describe(pretrained("fashion-mnist-events-small"))).run(EVENTS), DeployError, "float32"),
]
EVENTS = np.full((1, 10, 2, 28, 28), 1e300)


@pytest.fixture
def clothes():
    return Runtime(describe(pretrained()), backend="numpy")


@each_row("call, error, named", REFUSED)
def test_what_a_runtime_does_not_take_is_refused_by_name(call, error, named, clothes, no_hook):
    with pytest.raises(error, match=named):
        call(clothes, np.full((3, 1, 28, 28), 0.5, np.float32))


def test_a_threshold_beyond_float32_is_one_that_nothing_reaches():
    neurons, drive = Neurons(np.full((1, 1), 0.5), np.array([[1e300], [1.0]])), np.full((2, 1, 1, 1, 1), 2, np.float32)
    with np.errstate(over="ignore"):
        spikes, membrane = arrays.fired(neurons, drive, range(2), None)
    assert (spikes.ravel().tolist(), membrane.item(), membrane.dtype) == ([0, 1], 2.0, np.float32)


def test_a_process_without_pytorch_runs_a_bundle_in_little_memory(tmp_path):
    model, images = pretrained(), bntt.data.fashion_mnist_bundled().test.batch(torch.arange(2)).numpy()
    export(model, tmp_path / "x.safetensors")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, bntt.deploy\n"
        f"runtime = bntt.deploy.Runtime({str(tmp_path / 'x.safetensors')!r})\n"
        f"logits = runtime.run(np.load({str(tmp_path / 'images.npy')!r})[:1], seed=1)\n"
        f"np.save({str(tmp_path / 'logits.npy')!r}, logits)\n"
        "print(*[row.split()[1] for row in open('/proc/self/status') if row.startswith('VmHWM')])\n"
    )
    command = [sys.executable, "-c", code]
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), Runtime(describe(model)).run(images[:1], seed=1))
    assert int(said.stdout) < 60 << 10
