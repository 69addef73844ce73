"""TOML by name or by path: what comes with the package is found, and what cannot be read is said."""

import os

import pytest

from bntt.io.toml_file import TomlError, names_in, read_named, unknown_key


def read(source):
    return read_named(source, "analysis/energy/cost_tables", "table of costs", 100)


def test_by_name_and_by_path(tmp_path):
    assert read("digital-45nm")["kind"] == "digital"
    (tmp_path / "mine.toml").write_text("a = 1\n")
    assert read(tmp_path / "mine.toml") == {"a": 1}
    assert "demo" in names_in("runs/recipes")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(TomlError, match="no table of costs 'digital-45n': did you mean 'digital-45nm'"):
        read("digital-45n")
    mine = tmp_path / "mine.toml"
    for content, message in (
        (b"a = ", "is not TOML"),
        (b"a = '\xff'", "is not UTF-8"),
        (b"#" * 101, "has 101 bytes: a table of costs has at most 100"),
    ):
        mine.write_bytes(content)
        with pytest.raises(TomlError, match=message):
            read(mine)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TomlError, match="give a file, or one of"):
        read(tmp_path / "pipe")


def test_an_unknown_key_is_told_with_the_nearest_or_all():
    assert unknown_key("zzz", ["seed", "data"]) == "unknown key; known keys: seed, data"


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000 + "]" * 5000, "a." * 5000 + "b = 1", "a = " + "9" * 5000, "x.a.b." * 9 + "c = 1"]
)
def test_what_is_too_deep_or_too_long_is_no_toml_here(text, tmp_path):
    (tmp_path / "deep.toml").write_text(text)
    with pytest.raises(TomlError, match=r"deep.toml is not TOML: (tables or lists in one another|Exceeds|Invalid)"):
        read_named(tmp_path / "deep.toml", "runs/recipes", "recipe", 1 << 20)
