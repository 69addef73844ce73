"""Tables of costs: which entries they may have, and the energy by them."""

import math

import pytest
import tomli_w

from bntt.analysis.energy import FOLDER, Digital, LayerRow, Neuromorphic, load_costs
from bntt.analysis.measurement import ArgumentError
from bntt.io.files import names_in

DIGITAL = {"kind": "digital", "unit": "nJ", "source": "mine", "mac": 5, "addition": 1.5, "multiplication": 0.0}
CHIP = {"kind": "neuromorphic", "unit": "pJ", "source": "mine", "spike": 2.0, "operation": 0.5, "step": 100.0}
WORK = LayerRow(
    steps=4, layer="all", input="", neurons=9, spikes=20, additions_by_spike=100, macs_by_spike=10,
    additions_by_value=60, macs_by_value=30, update_additions=7, update_multiplications=3,
    ann_macs=200, ann_update_additions=11,
)  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """What a file with other entries is read as; None leaves an entry out."""

    def read(base, **changes):
        path = tmp_path / "mine.toml"
        path.write_text(tomli_w.dumps({key: v for key, v in (base | changes).items() if v is not None}))
        return load_costs(path)

    return read


def test_what_comes_with_the_package():
    digital, chip = map(load_costs, names_in(FOLDER))
    assert (digital.mac, digital.addition, digital.multiplication, digital.unit) == (4.6, 0.9, 3.7, "pJ")
    assert (chip.spike, chip.operation, chip.step, chip.unit) == (0.4, 0.0, 0.6, "normalised")


def test_energy_is_work_times_costs(table):
    digital, chip = table(DIGITAL, multiplication=4.0), table(CHIP)
    assert (type(digital), type(chip)) == (Digital, Neuromorphic)
    assert digital.energy(WORK, "spikes") == (100 * 1.5 + 10 * 5, 7 * 1.5 + 3 * 4.0)
    assert digital.energy(WORK, "values") == (60 * 1.5 + 30 * 5, 7 * 1.5 + 3 * 4.0)
    assert digital.ann_energy(WORK) == (200 * 5, 11 * 1.5)
    assert chip.energy(WORK, "spikes") == (20 * 2.0 + 110 * 0.5, 4 * 100.0)


def test_a_wrong_entry_is_named(table):
    for base, changes, entry in (
        (DIGITAL, {"mac": None}, "mac"),
        (DIGITAL, {"mac": -0.1}, "mac"),
        (DIGITAL, {"addition": math.nan}, "addition"),
        (DIGITAL, {"mac": "4.6"}, "mac"),
        (DIGITAL, {"step": 1.0}, "step"),
        (CHIP, {"unit": ""}, "unit"),
        (CHIP, {"kind": "analog"}, "kind"),
    ):
        with pytest.raises(ArgumentError, match=rf"mine\.toml: (.*; )?{entry}: "):
            table(base, **changes)


def test_what_is_no_table(tmp_path):
    path = tmp_path / "t.toml"
    for content in (b"mac = ", b"\xff", b"#" * (1 << 17)):
        path.write_bytes(content)
        for source, named in ((path, r"t\.toml"), ("digital-45", "digital-45nm"), (tmp_path, "neuromorphic")):
            with pytest.raises(ArgumentError, match=named):
                load_costs(source)
