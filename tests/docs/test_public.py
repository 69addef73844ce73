"""Every public name says what it is, takes, gives and raises, and is shown once; methods say whose they are."""

import importlib
import re

import pytest

import bntt
from bntt import analysis
from bntt.analysis import Accuracy, Activity
from bntt.models.spiking import FIRE_RULES, SURROGATES
from bntt.nn import NORMS
from tests.docs.public import lacks, public_names, used_in
from tests.docs.test_docs import ROOT

SOURCE = r"\d{4}|Eq\. \d|the paper|the authors|BNTT"
"""A year, an equation, or the method that it varies."""
NO_NAMES = {"bntt.classes"}
"""A key of ONNX files, which pages tell of too."""


def test_every_public_name_is_documented(monkeypatch):
    names = public_names(monkeypatch)
    assert {"bntt.BNTT", "bntt.ops.lif.lif_step", "bntt.register.norm", "bntt.measure"} <= names.keys()
    assert {name: found for name, one in names.items() if (found := lacks(one))} == {}


def test_pages_and_examples_use_public_names_alone(monkeypatch):
    """In code, whatever they call a module, and in words; which file holds what is for the pages of developers."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    names = importlib.import_module("extension.names")
    public = {path for one in names.public_names().values() for path in (one.path, *one.also)}
    doors = {*names.DOORS, "bntt.ops", "bntt.__version__"} | NO_NAMES

    def is_public(path):
        parts = path.split(".")
        return path in doors or any(".".join(parts[:end]) in public for end in range(2, len(parts) + 1))

    private = {}
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.py")]:
        if {"pages", "api", "develop", "evidence"} & {*page.relative_to(ROOT).parts}:
            continue
        text = re.sub(r"^```\{code\}.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)  # it shows a source
        blocks = re.findall(r"^```(?:python|\{code-cell\}.*)\n((?:.*\n)*?)```", text, re.M)
        code = text if page.suffix == ".py" else re.sub(r"^:.*|^---\n(?:.*\n)*?---$", "", "\n".join(blocks), flags=re.M)
        used = used_in(code) | {*re.findall(r"(?<![\w/.-])bntt(?:\.[A-Za-z_]\w*)+", text)}
        if found := sorted(path for path in used if not is_public(path)):
            private[page.name] = found
    assert private == {}


def test_old_names_work_and_warn_and_the_migration_page_has_them():
    accuracy, activity, run = Accuracy(2, ((1, 2),)), Activity(2, {}, {}), object.__new__(bntt.LoadedRun)
    vars(run)["checkpoint_facts"] = facts = {"epoch": 3}
    alone = bntt.training.Processes()
    old = [
        *[(bntt.data, "ImageLoader", bntt.data.SampleLoader), (bntt.models, "SpikingNetwork", bntt.SpikingNetwork)],
        *[(analysis, "Differences", analysis.FoldedNetwork)],
        *[(analysis, "likeness", analysis.step_changes), (analysis, "stretches", analysis.threshold_ranges)],
        *[(accuracy, "images", 2), (activity, "images", 2), (activity, "spikes_per_image", activity.spikes_per_sample)],
        *[(bntt.data.Batch(1, 2, 3), "images", 1), (run, "kept", facts), (alone, "first", True)],
        *[(alone, "total", alone.all_reduce_sum), (alone, "largest", alone.all_reduce_max)],
        *[(alone, "joined", alone.all_gather), (alone, "decided", alone.on_rank0), (alone, "given", alone.broadcast)],
        *[(alone, "averaging", alone.wrap_ddp), (alone, "waiting", alone.no_sync)],
    ]
    page = (ROOT / "docs" / "develop" / "migration.md").read_text(encoding="utf-8")
    for owner, name, new in old:
        said = rf"{name} is now [\w.]+; the old name will be removed in bntt 2\.0"
        with pytest.warns(DeprecationWarning, match=said):
            assert getattr(owner, name) == new
        assert name in page.split("## Gone")[0]
    with pytest.raises(AttributeError, match=r"'bntt\.data' has no attribute 'imageloader'"):
        bntt.data.imageloader  # noqa: B018


@pytest.mark.parametrize("kinds", [NORMS, SURROGATES, FIRE_RULES], ids=lambda kinds: kinds.kind)
def test_every_method_names_its_source(kinds):
    words = {name: getattr(one, "build", one).__doc__ for name, one in kinds.items()}
    assert [name for name, text in words.items() if not re.search(SOURCE, text)] == []
