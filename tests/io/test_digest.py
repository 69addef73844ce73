"""Checksums."""

from bntt.io.digest import digest, digest_of_bytes, digest_of_text, digest_of_values

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_all_are_sha_256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x") == digest_of_bytes(b"abc") == digest_of_text("abc") == ABC
    assert digest(tmp_path / "x", "md5") == "900150983cd24fb0d6963f7d28e17f72"


def test_values_are_known_whatever_their_order():
    assert (
        digest_of_values({"a": 1, "b": 2}) == digest_of_values({"b": 2, "a": 1}) != digest_of_values({"a": 2, "b": 1})
    )


def test_a_name_that_is_no_unicode_has_a_digest():
    assert len(digest_of_text("\udcff")) == 64
