"""What leaves a machine names no folder of it."""

import json
import tomllib
from pathlib import Path

from bntt.studies.evidence import _own_places, portable, strip_local_paths
from tests.rows import each_row


@each_row(
    ("text", "kept"),
    [
        ("/data/of/mine/cifar10", ".../cifar10"),
        ("/data/with a space/cifar 10/", ".../cifar 10"),
        ("/data", ".../data"),
        (r"C:\Users\me\cifar10", ".../cifar10"),
        ("C:/Users/me/cifar10", ".../cifar10"),
        ("images=/home/me/cifar10", "images=.../cifar10"),
        ('{"root": "/pool", "with": ["/a b/my.py"]}', '{"root": ".../pool", "with": [".../my.py"]}'),
        ("--data images=/home/me/x --pool /tmp/p", "--data images=.../x --pool .../p"),
        ("runs/pool", "runs/pool"),
        (".../cifar10", ".../cifar10"),
        ("https://host/of/data", "https://host/of/data"),
        ("file:///home/me", ".../me"),
        ("see file:///home/me/x, there", "see .../x, there"),
        ("images=/Users/John Doe/cifar", "images=.../cifar"),
        ("images=/a b/c d", "images=.../c d"),
        ("--data=/Users/John Doe/cifar", "--data=.../cifar"),
        (r"x=C:\Users\John Doe\x", r"x=.../x"),
        (r"\\server\share\me\x", ".../x"),
        (r"x=\\server\share\me", "x=.../me"),
        ("cc -I/home/me/x -O2", "cc -I.../x -O2"),
        ("-I/home/me/x", "-I.../x"),
        ("/255 of a pixel", "/255 of a pixel"),
        ("A:/B test", "A:/B test"),
        ("x=https://h/a", "x=https://h/a"),
        ("8/255 or and/or", "8/255 or and/or"),
        ("a / b", "a / b"),
        ("", ""),
    ],
)
def test_of_an_absolute_path_the_name_is_kept(text, kept):
    assert strip_local_paths(text) == kept
    assert strip_local_paths(kept) == kept, "once is enough"
    assert strip_local_paths({"a": [text, 1, None], text: 1}) == {"a": [kept, 1, None], kept: 1}


def test_the_folders_of_this_process_are_kept_nowhere():
    _own_places.cache_clear()  # other tests work in other folders
    for place in (Path.home(), Path.cwd()):
        if len(place.parts) > 1:
            assert str(place) not in strip_local_paths(f"at:{place}, h:{place}/x, {place}")


def test_files_are_changed_where_they_must_be_and_stay_what_they_are():
    recipe = b'seed = 3\n\n[data]\nroot = "/home/me/cifar10"\nname = "images"\n'
    assert tomllib.loads(portable("recipe.toml", recipe).decode()) == {
        "seed": 3,
        "data": {"root": ".../cifar10", "name": "images"},
    }
    values = {"accuracy": 0.1 + 0.2, "of": {"source": "/home/me/x"}, "none": float("nan")}
    kept = portable("environment.json", json.dumps(values).encode())
    assert json.loads(kept)["accuracy"] == 0.1 + 0.2
    assert b"/home" not in kept
    rows = b'{"epoch": 0}\n{"epoch": 1, "place": "/home/me/x"}\n'
    assert portable("metrics.jsonl", rows) == b'{"epoch": 0}\n{"epoch": 1, "place": ".../x"}\n'


@each_row(
    ("name", "content"),
    [
        ("recipe.toml", b"seed=3   # as it was written\n"),
        ("a.json", b'{"a":   1.50}'),
        ("metrics.jsonl", b'{"a":   1.50}\n\n'),
    ],
)
def test_what_names_no_place_keeps_its_bytes(name, content):
    assert portable(name, content) == content


def test_a_file_that_cannot_be_read_names_no_place_either():
    assert portable("metrics.jsonl", b'{"epoch": 0, "place": "/home/me/x"}\n{"epo') == (
        b'{"epoch": 0, "place": ".../x"}\n{"epo'
    )
    assert portable("a.json", b'\xff "/home/me/x"') == b'\xff ".../x"'
