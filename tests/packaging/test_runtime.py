"""bntt-runtime: packed from the same sources, in an environment that never had PyTorch, beside bntt and without it."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
from PIL import Image

import bntt
from bntt.cli.main import main
from bntt.deploy import Runtime
from bntt.engine.cpu import library
from tests.deploy.test_bundle import HOSTILE, damaged, rewritten
from tests.kernels import needs_kernels
from tests.packaging import NO_COMPILER, ROOT, built

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    place = tmp_path_factory.mktemp("packed") / "project"
    subprocess.run([sys.executable, ROOT / "runtime" / "pack.py", place], check=True)
    return place


@pytest.fixture(scope="module")
def wheel(project):
    """Without kernels: to compile them takes minutes."""
    return built(project, "wheel", **NO_COMPILER)


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment with the wheel and what it needs, linked from here."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    for package in (np, Image, safetensors):
        folder = Path(package.__file__).parent
        for path in (folder, folder.with_name("pillow.libs" if folder.name == "PIL" else f"{folder.name}.libs")):
            if path.is_dir():
                (site / path.name).symlink_to(path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert said(place / "bin" / "python", "-c", "import torch").returncode == 1
    return place / "bin" / "python"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with bundles and pictures; ``shoe.png`` fits, ``photo.jpg`` is turned, coloured and large."""
    place = tmp_path_factory.mktemp("bundles")
    for name, pretrained, weights in (
        ("clothes", "fashion-mnist-vgg6", "float32"),
        ("rows", "fashion-mnist-rows", "int8"),
        ("events", "fashion-mnist-events-small", "float32"),
    ):
        out = str(place / f"{name}.safetensors")
        assert main(["export", "--pretrained", pretrained, "--weights", weights, "--out", out]) == 0
    image, exif = Image.fromarray(bntt.data.fashion_mnist_bundled().test.images[333, 0].numpy()), Image.Exif()
    image.save(place / "shoe.png")
    exif[0x0112] = 6
    image.resize((640, 480)).convert("RGB").save(place / "photo.jpg", exif=exif)
    return place


def said(python: Path, *command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([python, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_it_holds_the_sources_of_bntt_and_no_file_of_its_wheel(project, wheel):
    packed = {path.relative_to(project / "src").as_posix() for path in (project / "src").rglob("*.py")}
    assert members(wheel) == packed | {"bntt_runtime/py.typed"}
    assert len(packed) < 40
    for name in packed - {f"bntt_runtime/{path.name}" for path in (ROOT / "src" / "bntt_runtime").glob("*.py")}:
        text, theirs = (path.read_text("utf-8") for path in (project / "src" / name, source_of(name)))
        if not name.endswith("__init__.py") or name.endswith("runtime/__init__.py"):
            assert text.replace("from bntt_runtime", "from bntt") == theirs, name
        assert not re.search(r"^(from|import) (torch|bntt\b)", text, re.MULTILINE), name


def test_pip_builds_the_same_from_the_folder(wheel, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ROOT / "runtime",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
    ]
    done = subprocess.run(command, env=os.environ | NO_COMPILER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = tmp_path.iterdir()
    assert (made.name, members(made)) == (wheel.name, members(wheel))


def source_of(name: str) -> Path:
    return ROOT / "src" / "bntt" / Path(name).relative_to("bntt_runtime")


@pytest.mark.parametrize("backend", ["numpy", pytest.param("kernels", marks=needs_kernels)])
def test_it_answers_as_bntt_predict_does(backend, python, place, capsys):
    (packed,) = python.parents[1].glob("lib/python*/site-packages/bntt_runtime")
    if backend == "kernels":
        shutil.copy(library.LIBRARY._name, packed / "engine" / "cpu")
    pictures = [place / "shoe.png", place / "photo.jpg"]
    for name in ("clothes", "rows"):
        capsys.readouterr()
        bundle = place / f"{name}.safetensors"
        assert main(["predict", *map(str, pictures), "--bundle", str(bundle), "--seed", "3", "--json"]) == 0
        theirs = json.loads(capsys.readouterr().out)
        done = said(python, "-m", "bntt_runtime", bundle, *pictures, "--seed", 3, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["backend"], found["classes"]) == (backend, theirs["classes"])
        for one, other in zip(found["images"], theirs["images"], strict=True):
            assert (one["label"], one["changes"]) == (other["label"], other["changes"])
            assert np.abs(np.subtract(one["confidence"], other["confidence"][-1])).max() < 1e-5
    assert found["images"][1]["changes"][0] == "turned upright (EXIF orientation 6)"


def test_exits_are_those_of_the_runtime(python, place):
    bundle, runtime = place / "clothes.safetensors", Runtime(place / "clothes.safetensors")
    sample, _ = runtime.read(place / "shoe.png")
    expected = {"gamma": runtime.exit_step(0.4), "margin": runtime.answer(sample, "margin", 0.6, draw=2**32).steps[0]}
    for criterion, threshold in (("gamma", 0.4), ("margin", 0.6)):
        command = [bundle, place / "shoe.png", "--exit", criterion, threshold, "--json"]
        found = json.loads(said(python, "-m", "bntt_runtime", *command).stdout)
        assert found["images"][0]["steps"] == expected[criterion] < 8


WRONG = [
    ("nothing.safetensors shoe.png", 4, "nothing.safetensors"),
    ("shoe.png shoe.png", 4, "shoe.png"),
    ("clothes.safetensors nothing.png", 3, "nothing.png"),
    ("clothes.safetensors clothes.safetensors", 3, "clothes.safetensors"),
    ("events.safetensors shoe.png", 2, "frames"),
    ("clothes.safetensors shoe.png --exit gamma -1", 2, "threshold"),
    ("clothes.safetensors shoe.png --exit hope 1", 2, "--exit"),
    ("clothes.safetensors shoe.png --exit margin x", 2, "threshold"),
    ("clothes.safetensors shoe.png --seed -1", 2, "seed"),
]


def test_what_is_wrong_is_named(python, place):
    for command, code, named in WRONG:
        done = said(python, "-m", "bntt_runtime", *command.split(), cwd=place)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert named in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_damaged_and_hostile_bundles_are_refused_in_words(python, place, tmp_path):
    whole = (place / "clothes.safetensors").read_bytes()
    broken = damaged(whole)
    parts = [part for _, part in HOSTILE] + [str(tmp_path)] * len(broken)
    for number, content in enumerate([whole] * len(HOSTILE) + broken):
        (tmp_path / f"{number:02}").write_bytes(content)
    for number, (change, _) in enumerate(HOSTILE):
        rewritten(tmp_path / f"{number:02}", change)
    code = (
        "import sys; from pathlib import Path; from bntt_runtime import BundleError, Runtime\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: print('taken', Runtime(path))\n"
        "    except BundleError as error: print(error)\n"
    )
    done = said(python, "-c", code, tmp_path)
    assert done.returncode == 0, done.stderr
    for line, expected in zip(done.stdout.splitlines(), parts, strict=True):
        assert re.search(expected, line), line


def test_the_first_lines_of_its_readme_run(python, place):
    text = (ROOT / "runtime" / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = said(python, "-c", f"{block}\nprint(runtime.classes[int(logits.argmax())])", cwd=place)
    assert (done.stdout, done.stderr) == ("Sneaker\n", "")


def test_beside_bntt_it_is_the_same_class_whatever_comes_or_goes_first(wheel, python, tmp_path, checkout):
    theirs = built(checkout, "wheel", **NO_COMPILER)
    assert not members(wheel) & members(theirs)
    site = tmp_path / "site"
    ask = f"import sys; sys.path.insert(0, {str(site)!r}); import bntt_runtime; print(bntt_runtime.Runtime.__module__)"
    with zipfile.ZipFile(theirs) as archive:
        archive.extractall(site)
    both = said(python, "-c", f"{ask}; import bntt.deploy as d; assert d.Runtime is bntt_runtime.Runtime")
    assert (both.stdout, both.stderr) == ("bntt.deploy.runtime.runtime\n", "")
    for path in sorted(site.rglob("*.*"), reverse=True):  # the folders stay, as pip leaves those that held other files
        if path.is_file():
            path.unlink()
    alone = said(python, "-c", ask)
    assert (alone.stdout, alone.stderr) == ("bntt_runtime.deploy.runtime.runtime\n", "")
    with zipfile.ZipFile(theirs) as archive:
        archive.extractall(site)
    (site / "bntt" / "deploy" / "runtime" / "arrays.py").unlink()
    broken = said(python, "-c", ask)
    assert "No module named 'bntt.deploy.runtime.arrays'" in broken.stderr


def test_a_name_that_the_terminal_lacks_is_shown_all_the_same(python, place, tmp_path):
    shutil.copy(place / "shoe.png", tmp_path / "γ.png")
    command = [python, "-m", "bntt_runtime", place / "clothes.safetensors", tmp_path / "γ.png"]
    settings = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?.png: Sneaker" in done.stdout
