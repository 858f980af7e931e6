"""Fetching a published file: continued where it stopped, verified by its hash, and never half there."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tqdm import tqdm

from support.user_error import DownloadError, OutputError, cannot_write

_CHUNK = 1 << 20  # bytes read at a time
_TIMEOUT = 10  # seconds without a byte before a connection counts as dropped
_PAUSES = (1, 2, 4, 8)  # seconds before each new try after a drop; a try that brings bytes starts the row anew
_CONNECTION_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
)
_BUSY = {408, 429, 500, 502, 503, 504}  # answers of a server that may do better on the next try


def fetch(url: str, file: str, digest: str, size: int | None = None, scheme: str = "https") -> None:
    """Download ``url`` to ``file``, which appears only once it is complete and verified.

    What has come so far is kept as ``<file>.part``; after a dropped connection, and in the next call, the download goes
    on from there, if the server can. Two calls at once for one file must not be: see `alone`.

    Args:
        digest: "sha256:<hex>" or "md5:<hex>".
        size: bytes, if known: another file at that address is then noticed before it is downloaded.
        scheme: the only one allowed, also for redirections; tests pass "http".

    Raises:
        UserError: no connection, another file than published, no disk space, or the folder cannot be written.
    """
    partial = f"{file}.part"
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        # A .part of another version of the file spoils what is added to it, so a wrong hash is a reason to start over.
        for last_try in (False, True):
            continued = _download(url, partial, size, scheme)
            found = checksum(partial, digest)
            if found == digest:
                os.replace(partial, file)
                return
            os.remove(partial)
            if last_try or not continued:
                raise DownloadError(
                    f"{url} came incomplete or altered ({describe(found)}, published: {describe(digest)}): "
                    "try again later"
                )
    except OSError as error:
        raise cannot_write(error.filename or partial, error) from error


def checksum(file: str, digest: str) -> str:
    """The hash of ``file``, of the kind and in the form of ``digest``: "sha256:<hex>" or "md5:<hex>"."""
    kind = digest.partition(":")[0]
    found = hashlib.new(kind, usedforsecurity=False)  # md5: no more is published for some files
    with open(file, "rb") as source, _bar(os.path.getsize(file), f"verifying {os.path.basename(file)}") as bar:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            bar.update(len(chunk))
    return f"{kind}:{found.hexdigest()}"


def describe(digest: str) -> str:
    """'SHA-256 <hex>' or 'MD5 <hex>', for messages."""
    kind, _, value = digest.partition(":")
    return f"{'SHA-256' if kind == 'sha256' else kind.upper()} {value}"


@contextmanager
def alone(lock: str) -> Iterator[None]:
    """Wait until no other run is in a block with this ``lock``, a file that is there as long as the block lasts.

    Raises:
        UserError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        os.makedirs(os.path.dirname(lock), exist_ok=True)
        try:
            held.acquire(blocking=False)
        except Timeout:
            print(f"another run is at it ({lock}): waiting for it to end", flush=True)
            held.acquire(poll_interval=0.5)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.remove(lock)  # while it is held: a run that has just opened it notices and makes a new one
        held.release()


def require_space(folder: str, size: int, what: str) -> None:
    """Raise a UserError unless ``size`` bytes are free on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OutputError(
            f"{folder} has {free / 1e9:.2f} GB free, but {what} needs {size / 1e9:.2f} GB: free some space"
        )


def _download(url: str, partial: str, size: int | None, scheme: str) -> bool:
    """Complete ``partial``, and return whether bytes were added to what an earlier connection had brought."""
    began = already = _size(partial)
    connections = failures = 0
    while size is None or already < size:
        try:
            connections += 1
            _receive(url, partial, already, size, scheme)
            break
        except _CONNECTION_ERRORS as error:
            before, already = already, _size(partial)
            failures = 0 if already > before else failures + 1
            reached = already > began or getattr(error, "code", None) in _BUSY
            if not reached or failures > len(_PAUSES):
                kept = f"; {already / 1e6:.1f} MB are kept, from which it goes on" if already else ""
                raise DownloadError(
                    f"cannot download {url} ({getattr(error, 'reason', error)}){kept}: "
                    "mend the connection and try again"
                ) from error
            time.sleep(_PAUSES[max(failures - 1, 0)])
    return began > 0 or connections > 1


def _receive(url: str, partial: str, already: int, size: int | None, scheme: str) -> None:
    """Add the rest of the file to the ``already`` bytes of ``partial``, or all of it where the server cannot do so."""
    _require(scheme, url)
    # identity: some servers would else send an archive unpacked, which has another hash
    headers = {"User-Agent": "mudpt", "Accept-Encoding": "identity"}
    if already:
        headers["Range"] = f"bytes={already}-"
    opener = urllib.request.build_opener(_Redirections(scheme))
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if already and error.code == 416:
            return  # there is nothing after these bytes
        raise
    with response:
        if response.status == 206:
            start, total = _range(response.headers.get("Content-Range", ""))
            if start != already:
                raise http.client.HTTPException("the server sent another part of the file than asked for")
        else:
            already = 0
            total = int(response.headers.get("Content-Length") or 0) or None
        if size and total and total != size:
            raise DownloadError(
                f"{url} has {total:,} bytes, but the published file {size:,}: it is another file, "
                "get the published one by hand"
            )
        if total:
            require_space(os.path.dirname(partial), total - already, os.path.basename(url))
        with open(partial, "ab" if already else "wb") as target, _bar(total, os.path.basename(url), already) as bar:
            while chunk := response.read(_CHUNK):
                target.write(chunk)
                already += len(chunk)
                bar.update(len(chunk))
                if already > (size or total or already):
                    break  # no end in sight; the hash will be wrong
            target.flush()
            os.fsync(target.fileno())
        if total and already < total:
            raise ConnectionError("the connection was dropped")


class _Redirections(urllib.request.HTTPRedirectHandler):
    def __init__(self, scheme: str):
        self.scheme = scheme

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _require(self.scheme, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require(scheme: str, url: str) -> None:
    if urlsplit(url).scheme != scheme:
        raise DownloadError(f"{url} is not {scheme}, so it is not fetched: get the file by hand")


def _range(header: str) -> tuple[int | None, int | None]:
    """First byte and size of the whole file from a Content-Range header such as "bytes 100-199/200"."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
    return (int(match[1]), int(match[2]) if match[2] != "*" else None) if match else (None, None)


def _size(file: str) -> int:
    return os.path.getsize(file) if os.path.exists(file) else 0


def _bar(total: int | None, name: str, initial: int = 0) -> tqdm:
    # disable=None: no bar where standard error is not a terminal
    return tqdm(total=total, initial=initial, desc=name, unit="B", unit_scale=True, leave=False, disable=None)
