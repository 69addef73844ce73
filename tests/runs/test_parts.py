"""Parts of a user's own: loaded because the user says so, kept with the run, and never because a file says so."""

import dataclasses
import json
import sys
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch
from torch.utils.data import DataLoader

from bntt import register
from bntt.cli import main as cli
from bntt.data import SampleLoader
from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS
from bntt.io.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from bntt.models.spiking import FIRE_RULES, RESETS, SURROGATES
from bntt.nn import NORMS
from bntt.ops.lif import fire_before
from bntt.runs.open_run import load_run
from bntt.runs.parts import LOADED, Part, PartsError, check_parts, load_parts, parts_facts, parts_of
from bntt.runs.recipe.build import build_model
from bntt.runs.recipe.file import RecipeError, parse_recipe
from bntt.studies.pool import identity
from tests.runs.recipe.test_schema import changed
from tests.runs.tiny import parts, recipe
from tests.trained import copied_run

CODE = """
import bntt
from bntt.nn import BNTT

@bntt.register.norm("{0}")
def {0}(channels, num_steps):
    return BNTT(channels, num_steps)
"""


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Writes a file of one norm; names, path and what was loaded are as before when the test ends."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name="own_a", more=""):
        path = tmp_path / f"{name}.py"
        path.write_text(CODE.format(name) + more)
        return path

    with ExitStack() as before:
        for known in (register.REGISTERED, NORMS, SURROGATES, RESETS, FIRE_RULES, AUGMENTATIONS, EVENT_AUGMENTATIONS):
            before.enter_context(patch.dict(known))
        yield write
    LOADED.clear()
    for name in ("own_a", "own_b"):
        sys.modules.pop(name, None)


def run_with(folder, *kept):
    """A run that says that it was trained with these."""
    run = copied_run(folder)
    file = run.path / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"parts": [dataclasses.asdict(part) for part in kept]}))
    return run


def test_a_file_is_loaded_once_and_kept_where_a_recipe_names_its_parts(given):
    load_parts([given("own_a"), given("own_b")])
    load_parts(given("own_a"))
    assert [part.names for part in LOADED] == [("network.norm=own_a",), ("network.norm=own_b",)]
    of = recipe(network={"norm": "own_b"})
    assert parts_of(of) == [LOADED[1]]
    assert parts_facts(of)["parts"][0]["source"].endswith("own_b.py")
    assert parts_facts(recipe()) == {}
    given("own_a", "# changed")
    with pytest.raises(PartsError, match=r"own_a\.py: was changed"):
        load_parts(str(LOADED[0].source))


FILES = {"no-name.py": "", "random.py": "", "raises.py": "1 / 0", "empty.py": "", "taken.py": CODE.format("bntt")}


def test_what_cannot_be_loaded_is_named(given, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for source in (*(tmp_path / name for name in (*FILES, "nowhere.py")), "no-package"):
        with pytest.raises(PartsError, match=f"^--with {source}: "):
            load_parts(source)
    assert not LOADED
    with pytest.raises(ValueError, match="measurement 'x'"):
        register.measurement("x")(lambda run, asked, progress: None)
    with pytest.raises(ValueError, match="reset 'soft'"):
        register.reset("soft")(lambda membrane, spikes, threshold: membrane)


def test_what_python_registers_is_of_the_file_that_defines_it(given, monkeypatch):
    path = given("own_a")
    monkeypatch.syspath_prepend(path.parent)
    __import__("own_a")
    (part,) = parts_of(recipe(network={"norm": "own_a"}))
    assert (part.source, part.names) == (str(path), ("network.norm=own_a",))


@pytest.mark.usefixtures("given")
def test_surrogate_reset_rule_and_augmentation_are_named_in_recipes():
    @register.surrogate("own")
    @dataclasses.dataclass(frozen=True)
    class Flat:
        scale: float = 0.5

        def __call__(self, v):
            return self.scale * torch.ones_like(v)

    @register.augmentation("own", of="events")
    @register.augmentation("own")
    def dark(images, *, seed, draw, index):
        return torch.zeros_like(images)

    stays = register.reset("own")(lambda membrane, spikes, threshold: membrane)
    late = register.rule("own")(lambda current, membrane, neuron: fire_before(current, membrane, neuron))
    network = {"surrogate": "own", "surrogate_scale": 0.25, "reset": "own", "fire": "own"}
    of = recipe(data={"augment": ["own", "flip"]}, network=network)
    named = {"network.surrogate=own", "network.reset=own", "network.fire=own", "data.augment=own"}
    assert {name for part in parts_of(of) for name in part.names} == named
    neuron = build_model(of, parts(of), "cpu").network.blocks["fc1"].lif.neuron
    assert (neuron.surrogate, neuron.reset, neuron.rule) == (Flat(0.25), stays, late)
    assert not next(SampleLoader(parts(of).train, 4, augment=of.data.augment).epoch(0)).inputs.any()


def test_a_run_without_its_parts_names_what_is_missing(given, tmp_path):
    load_parts(given("own_a"))
    (part,) = LOADED
    run = run_with(tmp_path, part)
    load_run(run.path, parts=part.source)
    check_parts(run.path, resuming=True)
    LOADED.clear()
    register.REGISTERED.clear()
    for resuming in (False, True):
        with pytest.raises(CheckpointError, match=rf"network\.norm=own_a.*--with {part.source}"):
            check_parts(run.path, resuming=resuming)


def test_changed_code_refuses_to_go_on_and_warns_where_it_is_measured(given, tmp_path):
    load_parts(given("own_a"))
    run = run_with(tmp_path, dataclasses.replace(LOADED[0], version="0" * 64))
    with pytest.warns(UserWarning, match=r"network\.norm=own_a"):
        load_run(run.path)
    with pytest.raises(CheckpointError, match=r"network\.norm=own_a"):
        check_parts(run.path, resuming=True)


def test_other_code_is_another_start_of_a_study(given):
    load_parts(given("own_a"))
    of = recipe(network={"norm": "own_a"})
    mine = identity(of)
    LOADED[0] = dataclasses.replace(LOADED[0], version="0" * 64)
    assert identity(of) != mine
    assert identity(of, kept=parts_facts(of)) == identity(of)


def test_the_command_line_loads_before_or_after_the_verb(given, capsys):
    path = given("own_a")
    assert cli.main(["--with", str(path), f"--with={given('own_b')}", "list", "norms"]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["own_a", "own_b"]
    for words in (["--with", "nowhere.py", "list", "norms"], ["list", "norms", "--with=nowhere.py"]):
        assert cli.main(words) == 2
        assert "--with nowhere.py" in capsys.readouterr().err


@pytest.mark.slow
def test_a_loaders_new_processes_find_the_file(given):
    load_parts(given("own_a", "\nclass Numbers(list):\n    pass\n"))
    numbers = sys.modules["own_a"].Numbers([40, 41])
    drawn = torch.Generator()  # else the loader would take from the global one
    found = DataLoader(numbers, 2, num_workers=1, multiprocessing_context="spawn", generator=drawn)
    assert [batch.tolist() for batch in found] == [[40, 41]]


def test_no_file_can_name_code(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a report is written there
    mark = tmp_path / "it-ran"
    evil = given("own_a", f"\nfrom pathlib import Path\nPath({str(mark)!r}).touch()\n")
    train, own = {"epochs": 1, "batch_size": 9}, changed(network={"norm": "bntt"})
    parse_recipe(own)  # nothing else of it is in the way
    rows = [
        ("parts", own | {"parts": {"with": str(evil)}}),
        (r"train\.with", changed(train=train | {"with": str(evil)})),
    ]
    rows += [(r"network\.norm", changed(network={"norm": name})) for name in ("own_a", "own_a:own_a", str(evil))]
    for named, values in rows:
        with pytest.raises(RecipeError, match=f"^{named}: "):
            parse_recipe(values)
    part = Part(str(evil), "0" * 64, ("network.norm=own_a",))
    run, load = run_with(tmp_path, part), dataclasses.asdict(part)
    kept = read_checkpoint(run.best)
    write_checkpoint(run.best, kept.tensors, {**kept.facts, "parts": [load], "with": [str(evil)]})
    run.recipe.write_text(run.recipe.read_text().replace('norm = "bntt"', 'norm = "own_a"'))
    for verb in (["evaluate"], ["train", "--resume"], ["report"], ["exit"]):
        assert cli.main([verb[0], str(run.path), *verb[1:]]) in ((0, 4) if verb == ["report"] else (4,))
    file = run.path / "environment.json"
    for damaged in ([str(evil)], "own_a", [{**load, "names": 3}]):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"parts": damaged}))
        with pytest.raises(CheckpointError, match=r"environment\.json"):
            load_run(run.path)
    assert not mark.exists()
    assert "own_a" not in sys.modules
    assert str(tmp_path) not in sys.path
