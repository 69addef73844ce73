"""The claims of several studies as one story: the paper's order, every claim once, what is not tested marked."""

from bntt.studies.report import PAPER, html_of, page_of, part_of, story_of, strips_of
from bntt.studies.study_record import ClaimRecord
from tests.rows import each_row
from tests.studies.report.results import study, write_study

EFFECT = {"name": "BNTT − BN", "of": "points", "mean": 4.0, "low": 1.0, "high": 7.0, "starts": 3, "bounds": [0.0]}


def claim(says, source, verdict="holds", quotation="less spikes", **more):
    told = {"says": says, "source": source, "verdict": verdict, "quotation": quotation, "because": "", "rule": "r"}
    return told | {"effects": [EFFECT], **more}


def page(tmp_path):
    first = [claim("it is robust", "Figure 8A"), claim("it is accurate", "Abstract; Table 1", "not decided")]
    second = [
        claim("it is accurate", "Abstract; Table 1", "not decided"),
        claim("own", "asked after Table 1", quotation=""),
    ]
    folders = [
        write_study(tmp_path / name, study() | {"title": name, "claims": claims})
        for name, claims in (("one", first), ("two", second))
    ]
    return page_of(folders)


def test_claims_are_in_the_papers_order_and_told_once_with_their_studies(tmp_path):
    found = page(tmp_path)
    assert found.title == f"{PAPER}, claim by claim"
    rows = [one for tested in found.claims.values() for one in tested]
    assert [(number, one.says, studies) for number, one, studies in rows] == [
        (1, "it is accurate", {"s1": "one", "s2": "two"}),
        (2, "it is robust", {"s1": "one"}),
    ]
    ((number, own, _),) = found.questions["Accuracy (Table 1)"]
    assert (number, own.says) == (3, "own")
    assert "1 sentence of the paper in 2 rows: shown by fewer, 1 holds, 1 is not decided." in found.lead
    assert "1 question of our own: shown by fewer, 1 holds." in found.lead
    assert "All studies have a small setting" in found.lead


def test_what_is_tested_stands_before_what_is_shown_alone():
    shown = ClaimRecord.model_validate(claim("shown", "Table 1"))
    tested = ClaimRecord.model_validate(claim("tested", "Table 1", effects=[EFFECT | {"starts": 5}]))
    lead, claims, _ = story_of([("a", "a study", (shown, tested))])
    assert [one.says for part in claims.values() for _, one, _ in part] == ["tested", "shown"]
    assert "in 2 rows: tested by five starts or more, 1 holds; shown by fewer, 1 holds." in lead


def test_numbers_of_a_claim_share_a_scale_with_what_they_are_held_against():
    other = EFFECT | {"name": "BNTT − none", "mean": 9.0, "low": None, "high": None}
    found = ClaimRecord.model_validate(claim("", "", effects=[EFFECT, other, EFFECT | {"of": "spikes"}]))
    ((of, (one, two)), (_, (alone,))) = strips_of(found)
    assert (of, one.scale, two.scale, alone.scale) == ("points", (0.0, 9.0), (0.0, 9.0), (0.0, 7.0))
    assert (one.said, two.said) == ("+4 (+1 to +7)", "+9")
    assert [one.at(value) for value in (-1.0, 0.0, 9.0)] == [6, 6, 174]


def test_the_page_says_it_with_quotation_source_plot_and_mark(tmp_path):
    text = html_of(page(tmp_path))
    assert "“less spikes”" in text
    assert text.count('class="strip"') == 3
    assert '<p class="note">Abstract; Table 1</p>' in text
    assert ">(✓)</a>" in text, "three starts are shown, and not tested"
    assert "shown, not tested" in text
    assert ">BNTT − BN: +4 (+1 to +7), points</td>" in text, "the first of each part, at a glance"


@each_row(("verdict", "said"), [("not run", "not run"), ("not decided", "no numbers")])
def test_a_claim_without_numbers_is_called_not_run_only_where_it_was_not(tmp_path, verdict, said):
    claims = [claim("it is robust", "Figure 8A", verdict, effects=[])]
    folder = write_study(tmp_path / "one", study() | {"title": "one", "claims": claims})
    other = write_study(tmp_path / "two", study() | {"title": "two", "claims": claims})
    assert f'<td class="first">{said}</td>' in html_of(page_of([folder, other]))


@each_row(
    ("source", "part"),
    [
        ("Abstract", "Stable training (Abstract)"),
        ("Abstract; Section 3.4, Figure 7", "Early exit (Section 3.4, Figure 7)"),
        ("Figure 8A, of conversion", "Noise and attacks (Figure 8)"),
        ("Section 4, robustness", "Noise and attacks (Figure 8)"),
        ("hearsay", "Elsewhere"),
    ],
)
def test_a_source_belongs_to_a_part_of_the_paper(source, part):
    assert part_of(source) == part
