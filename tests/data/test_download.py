"""A download that keeps nothing it is not sure of (answers are made here; no network)."""

import hashlib
import io
import os
from contextlib import nullcontext
from http.client import BadStatusLine, HTTPMessage, IncompleteRead
from ssl import SSLEOFError
from urllib.error import URLError
from urllib.request import OpenerDirector, Request

import pytest

from bntt.data import catalog
from bntt.data.catalog import _HttpsOnly, download
from bntt.io.errors import DataError
from tests.rows import each_row

CONTENT = b"the published bytes" * 1000


class Opener(OpenerDirector):
    """Answers with given bytes, or fails."""

    def __init__(self, answer):
        self.answer = answer

    def open(self, request, timeout):
        if isinstance(self.answer, Exception):
            raise self.answer
        return nullcontext(Broken() if self.answer is Broken else io.BytesIO(self.answer))


class Broken:
    """An answer that breaks off."""

    def read(self, count):
        raise IncompleteRead(b"the publi")


def fetch(tmp_path, answer, url="https://example.org/x.bin", **options):
    target, md5 = tmp_path / "folder" / "x.bin", hashlib.md5(CONTENT).hexdigest()
    download(url, target, md5=md5, size=len(CONTENT), opener=Opener(answer), **options)
    return target


def test_the_published_bytes_arrive_and_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "CHUNK", 8000)
    told = []
    target = fetch(tmp_path, CONTENT, progress=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["x.bin"]
    assert told == [(8000, 19000), (16000, 19000), (19000, 19000)]


@each_row(
    ("answer", "named"),
    [
        (CONTENT[:-1], "MD5"),
        (b"<html>sorry</html>", "MD5"),
        (CONTENT.replace(b"t", b"T"), "MD5"),
        (CONTENT + b"more", "19000 bytes"),
        (URLError("no route"), "no route.*--from"),
        (TimeoutError("slow"), "slow.*--from"),
        (BadStatusLine("?"), r"\?.*--from"),
        (SSLEOFError("eof"), "eof.*--from"),
        (Broken, "IncompleteRead.*--from"),
    ],
)
def test_anything_else_leaves_nothing(answer, named, tmp_path):
    with pytest.raises(DataError, match=rf"https://example\.org/x\.bin.*{named}"):
        fetch(tmp_path, answer)
    assert not list((tmp_path / "folder").iterdir())


def test_a_redirect_away_from_https_is_refused(tmp_path):
    for url in ("http://example.org/x", "ftp://example.org/x", "file:///etc/passwd"):
        with pytest.raises(DataError, match="https"):
            fetch(tmp_path, CONTENT, url)
        with open(os.devnull, "rb") as nowhere, pytest.raises(DataError, match="https"):
            _HttpsOnly().redirect_request(Request("https://a.org"), nowhere, 302, "", HTTPMessage(), url)
