"""JSON as files: what is read, what is refused in one line, and what is written."""

import pytest

from bntt.io.json_file import find_object, read_json, write_json, write_json_lines


def test_what_was_written_is_read(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, None]})
    assert read_json(tmp_path / "x.json") == {"a": [1, None]}
    assert (tmp_path / "x.json").read_text().endswith("}\n")


def test_lines_are_one_value_each(tmp_path):
    write_json_lines(tmp_path / "x.jsonl", [{"a": 1}, {"a": 2}])
    assert (tmp_path / "x.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[1]"])
def test_what_holds_no_object_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    assert find_object(tmp_path / "x.json") is None


def test_lists_without_an_end_are_no_json(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deep"):
        read_json(tmp_path / "x.json")
