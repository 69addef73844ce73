"""Student's t against SciPy, and against the values that tables print."""

import pytest

from bntt.analysis.accuracy.student_t import student_cdf, student_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 29, 30, 199])
@pytest.mark.parametrize("t", [-7.0, -1.3, 0.0, 0.2, 1.0, 2.5, 12.7])
def test_the_distribution_is_scipys(t, degrees):
    stats = pytest.importorskip("scipy.stats")
    assert student_cdf(t, degrees) == pytest.approx(float(stats.t.cdf(t, degrees)), abs=1e-13)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30])
@pytest.mark.parametrize("share", [0.001, 0.025, 0.5, 0.9, 0.975, 0.9995])
def test_the_quantiles_are_scipys(share, degrees):
    stats = pytest.importorskip("scipy.stats")
    assert student_quantile(share, degrees) == pytest.approx(float(stats.t.ppf(share, degrees)), rel=1e-9, abs=1e-12)


def test_what_tables_print():
    printed = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}
    assert {n: round(student_quantile(0.975, n), 3) for n in printed} == printed


def test_what_cannot_be():
    with pytest.raises(ValueError, match="degrees of freedom must be 1 or more, got 0"):
        student_cdf(1.0, 0)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        student_quantile(1.0, 3)
