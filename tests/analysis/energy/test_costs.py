"""Tables of costs: which entries they may have, and the energy by them."""

import math

import pytest
import tomli_w

from bntt.analysis.energy.costs import Digital, Energy, Neuromorphic, Work, cost_names, load_costs
from bntt.analysis.measurement import ArgumentError

DIGITAL = {"kind": "digital", "unit": "nJ", "source": "mine", "mac": 5, "addition": 1.5, "multiplication": 0.0}
CHIP = {"kind": "neuromorphic", "unit": "pJ", "source": "mine", "spike": 2.0, "operation": 0.5, "step": 100.0}
WORK = Work(100.0, 10.0, 7.0, 3.0, 20.0, 4)


@pytest.fixture
def table(tmp_path):
    """What a file with other entries is read as; None leaves an entry out."""

    def read(base, **changes):
        path = tmp_path / "mine.toml"
        path.write_text(tomli_w.dumps({key: v for key, v in (base | changes).items() if v is not None}))
        return load_costs(path)

    return read


def test_what_comes_with_the_package_says_where_it_is_from():
    assert cost_names() == ["digital-45nm", "neuromorphic"]
    digital, chip = map(load_costs, cost_names())
    assert (digital.mac, digital.addition, digital.multiplication, digital.unit) == (4.6, 0.9, 3.7, "pJ")
    assert digital.mac == pytest.approx(digital.addition + digital.multiplication)
    assert "Horowitz 2014" in digital.source
    assert (chip.spike, chip.operation, chip.step, chip.unit) == (0.4, 0.0, 0.6, "normalised")
    assert "not checked" in chip.source


def test_energy_is_work_times_costs(table):
    digital, chip = table(DIGITAL, multiplication=4.0), table(CHIP)
    assert isinstance(digital, Digital)
    assert isinstance(chip, Neuromorphic)
    assert digital.energy(WORK) == Energy(100 * 1.5 + 10 * 5, 7 * 1.5 + 3 * 4.0)
    assert digital.energy(WORK).total == 222.5
    assert chip.energy(WORK) == Energy(20 * 2.0 + 110 * 0.5, 4 * 100.0)


def test_a_wrong_entry_is_named(table):
    for base, changes, message in (
        (DIGITAL, {"mac": None}, "mac: missing; a table of kind 'digital' has kind, unit, source, note, mac, addition"),
        (DIGITAL, {"source": None}, "source: missing"),
        (DIGITAL, {"mac": -0.1}, "mac: must be a finite number, 0 or more, got -0.1"),
        (DIGITAL, {"addition": math.nan}, "addition: must be a finite number, 0 or more, got nan"),
        (DIGITAL, {"multiplication": math.inf}, "multiplication: must be a finite number, 0 or more, got inf"),
        (DIGITAL, {"mac": "4.6"}, "mac: must be a finite number, 0 or more, got '4.6'"),
        (DIGITAL, {"mac": True}, "mac: must be a finite number, 0 or more, got True"),
        (DIGITAL, {"maac": 1.0, "mac": None}, "maac: unknown key; did you mean 'mac'?"),
        (DIGITAL, {"step": 1.0}, "step: unknown key; known keys: kind, unit, source"),
        (DIGITAL, {"source": ""}, "source: must be non-empty text, got ''"),
        (DIGITAL, {"unit": ""}, "unit: must be non-empty text, got ''"),
        (CHIP, {"step": None}, "step: missing; a table of kind 'neuromorphic' has kind, unit, source, note, spike"),
        (CHIP, {"spike": -1}, "spike: must be a finite number, 0 or more, got -1"),
        (CHIP, {"kind": "analog"}, "kind: must be one of digital, neuromorphic, got 'analog'"),
        (CHIP, {"kind": None}, "kind: must be one of digital, neuromorphic, got None"),
    ):
        with pytest.raises(ArgumentError) as error:
            table(base, **changes)
        assert "mine.toml" in str(error.value)
        assert message in str(error.value)


def test_what_is_no_table(tmp_path):
    with pytest.raises(ArgumentError, match="no table of costs 'digital-45': did you mean 'digital-45nm'"):
        load_costs("digital-45")
    with pytest.raises(ArgumentError, match="give a file, or one of digital-45nm, neuromorphic"):
        load_costs(tmp_path)
    path = tmp_path / "t.toml"
    for content, message in (
        (b"mac = ", "is not TOML"),
        (b"\xff", "is not UTF-8"),
        (b"#" * (1 << 17), "at most 65536"),
    ):
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match=message):
            load_costs(path)
