"""Every damaged recording says what is wrong, and where."""

import pytest

from bntt.io.errors import DataError
from tests.data.damaged import AEDAT2, ARCHIVE, NMNIST
from tests.rows import each_row

FILES = {
    f"{kind}-{row[0]}": row[1:]
    for kind, rows in (("aedat2", AEDAT2), ("nmnist", NMNIST), ("npz", ARCHIVE))
    for row in rows
}


@each_row(("read", "content", "message"), FILES.values())
def test_what_is_said(read, content, message, tmp_path):
    (tmp_path / "one").write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path / "one")
    assert str(tmp_path / "one") in str(raised.value)
