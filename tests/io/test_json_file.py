"""JSON as files: what is read, what is refused in one line, and what is written."""

import pytest

from bntt.io.json_file import find_object, read_json, read_object, write_json, write_json_lines


class OwnError(RuntimeError):
    pass


def test_what_was_written_is_read(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, None]})
    assert read_json(tmp_path / "x.json") == read_object(tmp_path / "x.json", OwnError) == {"a": [1, None]}
    assert (tmp_path / "x.json").read_text().endswith("}\n")


def test_lines_are_one_value_each(tmp_path):
    write_json_lines(tmp_path / "x.jsonl", [{"a": 1}, {"a": 2}])
    assert (tmp_path / "x.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), (b"{", "cannot be read"), (b"\xff", "cannot be read"), (b"[1]", "no object, but a list")],
)
def test_what_holds_no_object_is_an_error_of_the_caller(tmp_path, content, message):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OwnError, match=message):
        read_object(path, OwnError)
    assert find_object(path) is None


def test_lists_without_an_end_are_no_json(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deep"):
        read_json(tmp_path / "x.json")
