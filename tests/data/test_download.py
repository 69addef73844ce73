"""Checksums, and a download that keeps nothing it is not sure of (answers are made here; no network)."""

import hashlib
import io
import os
from contextlib import nullcontext
from http.client import BadStatusLine, HTTPMessage, IncompleteRead
from ssl import SSLEOFError
from urllib.error import URLError
from urllib.request import OpenerDirector, Request

import pytest

from bntt.data import catalog as files
from bntt.data.catalog import _HttpsOnly, download
from bntt.io.errors import DataError
from bntt.io.files import digest, parse_json
from tests.rows import each_row

CONTENT = b"the published bytes" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


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


def fetch(tmp_path, answer, url="https://example.org/x.bin"):
    target = tmp_path / "folder" / "x.bin"
    download(url, target, md5=MD5, size=len(CONTENT), opener=Opener(answer))
    return target


def test_digest_is_hashlibs(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    assert digest(path) == hashlib.sha256(CONTENT).hexdigest()
    assert digest(path, "md5") == MD5


def test_progress_counts_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 8000)
    told = []
    opener = Opener(CONTENT)
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    download("https://a.org/x", tmp_path / "x", md5=MD5, size=len(CONTENT), opener=opener, progress=progress)
    assert told == [(8000, 19000), (16000, 19000), (19000, 19000)]


def test_the_published_bytes_arrive(tmp_path):
    target = fetch(tmp_path, CONTENT)
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["x.bin"]


@each_row(
    ("answer", "message"),
    [
        (CONTENT[:-1], "the distributor publishes"),
        (b"<html>sorry</html>", "the distributor publishes"),
        (CONTENT.replace(b"t", b"T"), "the distributor publishes"),
        (CONTENT + b"more", "sent more than the 19000 bytes"),
        (URLError("no route"), "could not download .*no route.*--from"),
        (TimeoutError("slow"), "could not download"),
        (BadStatusLine("?"), r"could not download .*: \?; fetch it by hand"),
        (SSLEOFError("eof"), "could not download .*eof"),
        (Broken, r"could not download .*IncompleteRead\(9 bytes read\)"),
    ],
)
def test_anything_else_leaves_nothing(answer, message, tmp_path):
    with pytest.raises(DataError, match=message):
        fetch(tmp_path, answer)
    assert not list((tmp_path / "folder").iterdir())


@each_row("url", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd"])
def test_only_https(url, tmp_path):
    with pytest.raises(DataError, match="only https is used"):
        fetch(tmp_path, CONTENT, url)


def test_a_redirect_away_from_https_is_refused():
    handler = _HttpsOnly()
    with open(os.devnull, "rb") as nowhere, pytest.raises(DataError, match="only https is used"):
        handler.redirect_request(Request("https://a.org"), nowhere, 302, "", HTTPMessage(), "http://a.org")


def test_json_without_an_end_is_a_value_error():
    assert parse_json('[1, {"a": null}]') == [1, {"a": None}]
    for text in ("[" * 100_000, '{"a":' * 100_000, "[", ""):
        with pytest.raises(ValueError, match=r"too deep|Expecting"):
            parse_json(text)
