"""The verbs that declarations make."""

import csv
import io
import json
import shutil

from bntt.cli import main as cli
from tests.trained import copied_run, trained_run


def test_refusals(capsys, tmp_path):
    run, file = str(trained_run().path), tmp_path / "afile"
    file.touch()
    for args, code, message in (
        (["drift", "/nonexistent"], 4, "is not a run directory"),
        (["drift", run, "--layer", "conv9"], 2, "no layer 'conv9' that holds statistics: choose one of conv1"),
        (["drift", run, "--images", "0"], 2, "--images must be 1 or more, got 0"),
        (["drift", run, "--json", "--csv"], 2, "choose one"),
        (["drift", run, "--out", str(file)], 2, f"{file} cannot be a folder to write, because {file} is a file"),
        (["drift", run, "--out", str(file / "there")], 2, f"because {file} is a file"),
        (["train", "demo", "--root", str(file)], 2, f"because {file} is a file: name another"),
        (["train", "demo", "--or-resume", "--root", str(file)], 2, f"because {file} is a file"),
        (["demo", "--root", str(file)], 2, f"because {file} is a file"),
        (["import", run, "--model", "vgg9", "--root", str(file)], 2, f"because {file} is a file"),
        (["report", run, "--out", str(file / "page.html")], 2, f"because {file} is a file"),
        (["data", "simulate", "fashion-mnist-bundled", "--to", str(file / "there")], 2, f"because {file} is a file"),
        (["data", "show", "demo", "--picture", "out.jpg"], 2, "--picture out.jpg: the name must end in .png, .pdf"),
        (["drift", run, "--device", "cuda:9"], 5, "cuda"),
    ):
        assert cli.main(args) == code, args
        assert message in capsys.readouterr().err, args


def test_files_go_elsewhere_when_asked(tmp_path, capsys):
    run = trained_run().path
    assert cli.main(["drift", str(run), "--images", "20", "--out", str(tmp_path / "there")]) == 0
    assert {file.name for file in (tmp_path / "there").iterdir()} == {"drift.json", "drift.png"}
    assert f"written: {tmp_path / 'there' / 'drift.json'}" in capsys.readouterr().out.replace("\n", "")
    other = shutil.copytree(run, tmp_path / "other")
    for directory, out, note in (
        (run, "there", ""),
        (other, "there", "other runs or weights)"),
        (run, "there", "other runs or weights)"),
        (other, "", ""),
        (run, "other", "other runs or weights)"),  # what it has of itself
    ):
        assert cli.main(["drift", str(directory), "--images", "20", *(["--out", str(tmp_path / out)] * bool(out))]) == 0
        said = capsys.readouterr().err
        assert note in said, (directory, said)
        assert bool(note) == ("replaces" in said)


def test_other_options_than_the_recipes_need_a_folder_for_the_files(tmp_path, capsys):
    run, there = copied_run(tmp_path).path, tmp_path / "there"
    asked = ["drift", str(run), "--images", "20", "-s", "compute.backend=reference"]
    assert cli.main(asked) == 2
    assert "measured with -s compute.backend=reference: name another folder, --out FOLDER" in capsys.readouterr().err
    assert cli.main([*asked, "--estimate"]) == 0
    assert not (run / "drift.json").exists()
    assert cli.main([*asked, "--out", str(there)]) == 0
    assert json.loads((there / "drift.json").read_text())["measured_with"] == {"copy": {"compute.backend": "reference"}}
    assert cli.main(["drift", str(run), "-s", "train.lr=1"]) == 2
    assert "-s train.lr: a trained run is measured as it was trained; what may be set is data.root, " in (
        capsys.readouterr().err
    )


def test_nothing_stands_among_the_numbers(tmp_path, capsys):
    command = ["drift", str(trained_run().path), "--images", "20", "--out", str(tmp_path)]
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"]
    assert cli.main([*command, "--csv"]) == 0
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert rows
    assert {len(row) for row in rows} == {len(head)}
