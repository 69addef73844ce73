"""The project's only download: https and nothing else, into a file that is kept only if its checksum is right."""

from __future__ import annotations

import hashlib
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from ssl import SSLError
from typing import IO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from bntt.data.samples import Progress
from bntt.io.errors import DataError

CHUNK = 1 << 20


class _HttpsOnly(HTTPRedirectHandler):
    """Redirect handler that refuses any address but https, the first one included."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise DataError(f"refused to download {url}: only https is used")


def download(
    url: str,
    target: Path,
    *,
    md5: str,
    size: int,
    progress: Progress = lambda done, total: None,
    opener: OpenerDirector | None = None,
) -> None:
    """Fetch ``url`` to ``target``: into a ``.part`` file first, which becomes the target when its checksum is right."""
    _require_https(url)
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher, done = hashlib.md5(usedforsecurity=False), 0
    try:
        with (opener or build_opener(_HttpsOnly)).open(Request(url), timeout=60) as answer, part.open("wb") as file:
            while chunk := answer.read(CHUNK):
                done += len(chunk)
                if done > size:
                    raise DataError(f"{url} sent more than the {size} bytes that it should have")
                hasher.update(chunk)
                file.write(chunk)
                progress(done, size)
        if done != size or hasher.hexdigest() != md5:
            raise DataError(
                f"{url} sent {done} bytes with MD5 {hasher.hexdigest()}; the distributor publishes {size} and {md5}"
            )
        part.replace(target)
    except (URLError, TimeoutError, ConnectionError, HTTPException, SSLError) as error:
        raise DataError(f"could not download {url}: {error}; fetch it by hand and pass it with --from") from None
    finally:
        part.unlink(missing_ok=True)
