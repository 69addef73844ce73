"""Files that anybody may have made: what is missing, of another kind or too much is one line that names the file."""

import json

import pytest

from bntt.studies import report as files
from bntt.studies.report import EPOCHS, OBJECT, read, visible
from tests.rows import each_row


@each_row(
    ("name", "content", "said"),
    [
        ("a.json", b"{", "Expecting"),
        ("a.json", b"\xff\xfe{}", "can't decode"),
        ("a.json", b"[1]", "valid dictionary"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b"[" * 700 + b"]" * 700, "."),
        ("a.json", b'{"n": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        ("a.toml", b"seed = ", "Invalid value"),
        ("a.toml", b"\xff", "can't decode"),
        ("b.json", None, "missing"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read(tmp_path / name, OBJECT)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_folders_and_large_files_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ValueError, match=r"folder\.json: missing"):
        read(tmp_path / "folder.json", OBJECT)
    (tmp_path / "a.json").write_text(json.dumps({"long": 12345}))
    assert read(tmp_path / "a.json", OBJECT) == {"long": 12345}
    monkeypatch.setattr(files, "LARGEST", 8)
    with pytest.raises(ValueError, match="larger than"):
        read(tmp_path / "a.json", OBJECT)


def test_a_record_says_where_its_fault_is(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 0, "unknown": 1}\n{"train_loss": 2.0}\n')
    with pytest.raises(ValueError, match=r"^metrics\.jsonl: 1\.epoch: Field required$"):
        read(path, EPOCHS)


def test_hidden_characters_are_replaced():
    assert visible({"a\u202e": ["b\u2066c\x1b[0m\tx\n\ud800", 1, None]}) == {"a�": ["b�c�[0m\tx\n�", 1, None]}
