"""``bntt log``: epochs as a table and as comma-separated values."""

import csv
import io

from bntt.cli import main as cli
from tests.trained import trained_run


def test_a_run_as_comma_separated_values(capsys):
    run = trained_run()
    assert cli.main(["log", str(run.path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    kept = run.rows()
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for row, of in zip(rows, kept, strict=True):
        assert float(row["validation_loss"]) == of["validation_loss"] > 0
        assert float(row["gamma/conv1"]) == of["gamma"]["conv1"]


def test_a_table_and_a_run_without_an_epoch(tmp_path, capsys):
    assert cli.main(["log", str(trained_run().path)]) == 0
    assert f"{trained_run().rows()[-1]['validation_loss']:.4f}" in capsys.readouterr().out
    (tmp_path / "recipe.toml").write_text("")
    assert cli.main(["log", str(tmp_path)]) == 4
    assert "no epoch is done yet" in capsys.readouterr().err
