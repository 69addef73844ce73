"""Which measurements a directory holds; files that anybody has spoilt become gaps, and never an error."""

import copy
import itertools
import json

import pytest

from bntt.charts.files import looks_of
from bntt.charts.svg import Pictures
from bntt.studies import report as files
from bntt.studies.report import EPOCHS, OBJECT, Epoch, measured, read, run_subject, sections_of, training, visible
from tests.evidence import RESULTS
from tests.rows import each_row
from tests.studies.found import MADE
from tests.studies.report.results import write_run

CIFAR10 = "cifar10-small-bd63a9e48c3d"
FILES = {
    "evaluation": CIFAR10, "activity": CIFAR10, "exit": CIFAR10,
    "exit-per-sample": CIFAR10, "energy": CIFAR10, "drift": CIFAR10,
    "equivalence": CIFAR10, "attack": "rivals-attack-bntt", "robust": "rivals-noise",
    "stability": "stability", "neuron": "", "card": "",
}  # fmt: skip
ODD = (None, "x", [None], {}, float("nan"), 1e308, -1)


def test_files_are_found_by_kind_and_another_split_is_titled(tmp_path):
    for name in ("exit", "exit-per-sample", "environment", "mine", "exits"):
        (tmp_path / f"{name}.json").write_text("{}")
    for name in ("energy", "energy-validation"):
        (tmp_path / f"{name}.json").write_bytes((RESULTS / "rival-ann-0" / "energy.json").read_bytes())
    found = {kind: [path.stem for path in paths] for kind, paths in measured(tmp_path).items()}
    assert found == {"exit": ["exit", "exit-per-sample"], "energy": ["energy", "energy-validation"]}
    assert [section.title for section in sections_of(tmp_path)][-2:] == [
        "Operations and energy",
        "Operations and energy (validation)",
    ]


def test_long_trainings_are_told_whole(tmp_path):
    run = write_run(tmp_path / "run")
    row = {"train_loss": 1.0, "lr": 0.3}
    epochs = [row | {"epoch": e, "validation_accuracy": e / 6000, "seconds": 10.0 * (e + 1)} for e in range(6000)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in epochs))
    subject = run_subject(run)
    _, training, _ = subject.sections
    assert training.words == ("Best validation accuracy 100.0%, at epoch 6000 of 6000.",)
    assert dict(subject.facts)["Time"] == "16.7 h, with validation"


def test_numbers_of_another_run_or_of_other_weights_are_told(tmp_path):
    run = write_run(tmp_path / "run")
    given = json.loads((run / "evaluation.json").read_text("utf-8"))
    plain = {"measured_with": {"run": {"compute.precision": "fp32"}}}
    for name, change in ("1", {"measured_on": {"other": "0" * 64}}), ("2", {"epoch": given["epoch"] + 3}), ("3", plain):
        (run / f"evaluation-{name}-steps.json").write_text(json.dumps(given | change))
    told = [section.gaps for section in sections_of(run)]
    own = f"measured with the weights of epoch {given['epoch'] + 4}, evaluation.json with those of {given['epoch'] + 1}"
    assert told == [
        (),
        ("evaluation-1-steps.json: measured on other, and not on this run",),
        (f"evaluation-2-steps.json: {own}",),
        ("evaluation-3-steps.json: measured with compute.precision=fp32, not as trained",),
    ]


def test_one_broken_evaluation_is_a_gap_beside_the_others(tmp_path):
    (tmp_path / "evaluation.json").write_text("{")
    (tmp_path / "evaluation-4-steps.json").write_bytes((RESULTS / "rival-ann-0" / "evaluation.json").read_bytes())
    broken, other = sections_of(tmp_path)
    assert broken.gaps[0].startswith("evaluation.json: ")
    assert (other.title, other.gaps) == ("Accuracy (4 steps)", ())


ODDS = itertools.cycle(ODD)


def spoilt(values, depth=4):
    """Each place of a nested value, the first of equals only, with two odd things in it in turn, and taken out."""
    if depth == 0:
        return
    places = list(values) if isinstance(values, dict) else range(min(1, len(values)))
    for place in places:
        held = values[place]
        for odd in itertools.islice(ODDS, 2):
            values[place] = odd
            yield
        values[place] = held
        if isinstance(values, dict):
            del values[place]
            yield
            values[place] = held
        if isinstance(held, dict | list):
            yield from spoilt(held, depth - 1)


@pytest.mark.slow
@each_row("kind", FILES)
def test_whatever_is_wrong_in_a_file_is_at_worst_a_gap(kind, tmp_path, monkeypatch):
    values = (
        json.loads((RESULTS / FILES[kind] / f"{kind}.json").read_text(encoding="utf-8"))
        if FILES[kind]
        else copy.deepcopy(MADE[kind])
    )
    (tmp_path / f"{kind}.json").write_text("{}")
    monkeypatch.setitem(files.PARSERS, ".json", lambda _: values)
    (whole,) = sections_of(tmp_path)
    assert not whole.gaps
    for unread in ("cells", "settings", "by_reading", "neurobench", "per_step", "deviation", "gamma_signed"):
        values.pop(unread, None)
    for key in ("layers", "folds", "firing_rate", "gamma_magnitude"):
        if isinstance(values.get(key), dict):  # all layers are alike
            values[key] = dict(list(values[key].items())[:1])
    (whole,), gaps = sections_of(tmp_path), 0
    for _ in spoilt(values):
        (section,) = sections_of(tmp_path)
        gaps += bool(section.gaps)
        for chart in (one for one in section.charts if one not in whole.charts):
            assert Pictures().draw(chart, looks_of(section.charts))
    assert gaps > 5


def test_curves_of_a_kept_run():
    read_back = read(RESULTS / CIFAR10 / "metrics.jsonl", EPOCHS)
    now = [row.model_copy(update={"validation_loss": 1.5}) for row in read_back]  # kept runs are older than the key
    section = training(now)
    assert section.words == ("Best validation accuracy 55.6%, at epoch 5 of 6.",)
    titles = {chart.title: chart for chart in section.charts}
    assert len(titles) == 5
    assert titles["Learning rate"].y.scale == "log"
    accuracies = titles["Accuracy in training"].lines
    assert [line.name for line in accuracies] == ["training", "validation"]
    assert (accuracies[0].x[0], accuracies[1].y[4]) == (1, pytest.approx(0.5556))


def test_what_is_not_there_is_not_drawn():
    one, other = Epoch(epoch=0, train_loss=2.0), Epoch(epoch=1, train_loss=float("nan"))
    section = training([one, other])
    assert [(chart.title, chart.lines[0].y) for chart in section.charts] == [("Loss in training", [2.0])]
    assert "No validation" in section.words[0]
    assert training([]).gaps
    assert not training([one]).charts, "one epoch is no curve"


def test_a_kept_run():
    subject = run_subject(RESULTS / CIFAR10)
    assert (subject.kind, subject.gaps) == ("run", ())
    assert subject.lead == (
        "vgg9 with norm bntt, 8 time steps, on CIFAR-10 (JPEG copy): one start. Test accuracy of 10,000 images: 54.5% "
        "(95% interval 53.6% to 55.5%)."
    )
    facts = dict(subject.facts)
    assert [facts[name] for name in ("Seed", "Device", "Commit", "Time")] == [
        "0 (one start)", "cpu, AMD EPYC, 1 thread", "f2c52ddb3c8b", "22 min, with validation"
    ]  # fmt: skip
    assert [section.title for section in subject.sections] == [
        "Accuracy", "Training", "Spike activity", "Early exit", "Early exit, image by image", "Operations and energy",
        "Drift of statistics", "Equivalence of folded networks", "Recipe",
    ]  # fmt: skip


@pytest.mark.slow
def test_everything_that_was_kept_can_be_told():
    for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        subject = run_subject(folder)
        assert not subject.gaps, folder
        assert not [gap for section in subject.sections for gap in section.gaps], folder


def test_measurements_alone_are_no_run():
    subject = run_subject(RESULTS / "rivals-noise")
    assert (subject.kind, subject.facts, subject.gaps) == ("measurements", (), ())
    assert [cell.text for cell in subject.compared] == ["rivals-noise", "Robustness to noise"]


def test_what_is_missing_or_broken_is_stated(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "environment.json").unlink()
    (run / "metrics.jsonl").write_text("{\n{}")
    (run / "recipe.toml").write_text("seed = ")
    (run / "evaluation.json").write_text(json.dumps({"accuracy": "high"}))
    subject = run_subject(run)
    assert subject.kind == "run"
    assert [gap.split(":")[0] for gap in subject.gaps] == ["recipe.toml", "environment.json"]
    gaps = {section.title: section.gaps for section in subject.sections}
    assert gaps["Training"][0].startswith("metrics.jsonl: Expecting")
    assert gaps["Evaluate"] == ("evaluation.json: dataset: Field required",)
    assert subject.compared[6].text == "not evaluated"


def test_tables_of_another_kind_are_passed_over(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "recipe.toml").write_text('seed = "x"\nnetwork = 3\ndata = []\ntrain = "all"\n')
    (run / "environment.json").write_text('{"data": 3, "threads": "many", "device": []}')
    assert "own network with norm of its own, ? time steps" in run_subject(run).lead


def test_settings_have_the_names_that_overrides_take(tmp_path):
    run = write_run(tmp_path / "run")
    (settings,) = run_subject(run).sections[-1].folded
    assert [tuple(cell.text for cell in row) for row in settings.rows][:3] == [
        ("seed", "0"), ("data.name", "made"), ("network.name", "vgg6")
    ]  # fmt: skip


@each_row(
    ("name", "content"),
    [
        *(("a.json", content) for content in (b"{", b"\xff\xfe{}", b"[1]", b"[" * 100_000, b"[" * 700 + b"]" * 700)),
        ("a.json", b'{"n": ' + b"9" * 5000 + b"}"),
        ("a.toml", b"seed = "),
        ("a.toml", b"\xff"),
        ("b.json", None),
        ("folder.json", None),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(name, content, tmp_path):
    (tmp_path / "folder.json").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read(tmp_path / name, OBJECT)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_a_record_says_where_its_fault_is(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 0, "unknown": 1}\n{"train_loss": 2.0}\n')
    with pytest.raises(ValueError, match=r"^metrics\.jsonl: 1\.epoch: Field required$"):
        read(path, EPOCHS)


def test_hidden_characters_are_replaced():
    assert visible({"a\u202e": ["b\u2066c\x1b[0m\tx\n\ud800", 1, None]}) == {"a�": ["b�c�[0m\tx\n�", 1, None]}
