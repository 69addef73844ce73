"""What is wrong with a table, in the file's own words."""

import pytest

from bntt.runs.recipe.file import unknown_name, validate_by_kind, validate_table
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.study_file import FIGURES, Bars, RunSpec, Setting
from tests.rows import each_row


def wrong(kind, values, where="here"):
    with pytest.raises(RecipeError) as caught:
        validate_table(kind, values, where)
    return str(caught.value)


def test_a_good_table_is_a_part():
    assert validate_table(Setting, {"recipe": "demo"}, "settings.small").seeds == [0, 1, 2]


@each_row(
    ("kind", "values", "said"),
    [
        (Setting, {"recipy": "demo"}, "here.recipy: unknown key; did you mean 'recipe'?"),
        (RunSpec, {"name": "a", "small": {"recipee": ""}}, "here.small.recipee: unknown key; did you mean 'recipe'?"),
        (Setting, {"seeds": "0"}, "here.seeds: must be a list, in brackets, got '0'"),
        (Setting, {"seeds": [0.5]}, "here.seeds.0: must be a whole number, got 0.5"),
        (RunSpec, {}, "here.name: is missing"),
        (RunSpec, "bntt", "here: must be a table of keys and values"),
        (RunSpec, {"name": "two words"}, "here.name: String should match pattern"),
    ],
)
def test_the_first_that_is_wrong_is_named(kind, values, said):
    assert wrong(kind, values).startswith(said)


def test_a_kind_is_one_of_a_closed_dictionary():
    known = {"kind": "bars", "title": "t", "alt": "a", "column": "c"}
    assert validate_by_kind(FIGURES, "kind", known, "m") == Bars(**known)
    for values, said in (
        ({"kind": "bar"}, "m.kind: unknown name 'bar'; did you mean 'bars'?"),
        ({}, "m.kind: is missing; one of bars, scatter"),
        ({"kind": "os.system"}, "m.kind: unknown name 'os.system'; known names: bars"),
        (3, "m: must be a table"),
        (known | {"colum": "c"}, "m.colum: unknown key; did you mean 'column'?"),
    ):
        with pytest.raises(RecipeError) as caught:
            validate_by_kind(FIGURES, "kind", values, "m")
        assert str(caught.value).startswith(said)


def test_names_far_from_all_are_answered_with_all():
    assert unknown_name("zzz", ["a", "b"]) == "unknown name 'zzz'; known names: a, b"
