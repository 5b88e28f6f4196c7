"""A stand-in for the Hugging Face hub, as strict as it is about addresses, tokens, ranges and redirects.

Two servers, as there: the hub answers for ``/{repo}/resolve/{revision}/{file}`` with what it knows of a file (its
sha256 as X-Linked-Etag, its size) and a redirect; the storage behind it gives bytes to signed addresses, honours
ranges, and refuses whoever shows it a token (as storage that is signed by query does).
"""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

REVISION = "0" * 39 + "1"
SIGNATURE = "signed-for-a-while"


@dataclass
class Hub:
    """What is stored, who may read it, and what was asked. ``cut_after``: the next answer breaks off there, once."""

    content: bytes
    repo: str = "a/b"
    file: str = "tiny.gguf"
    token: str | None = None
    etag: str | None = None
    states_size: bool = True
    cut_after: int | None = None
    endpoint: str = ""
    storage: str = ""
    ranges: list[str | None] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def stated(self) -> str:
        return self.etag or sha256(self.content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Both servers, while the block runs."""
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Front", (_Front,), {"hub": hub}))
    storage = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Storage", (_Storage,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{front.server_port}"
    hub.storage = f"http://127.0.0.1:{storage.server_port}"
    for server in (front, storage):
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        for server in (front, storage):
            server.shutdown()
            server.server_close()


class _Server(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def _answer(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self.hub.refused.append(f"{status.value} {code}")
        self._answer(status, {"X-Error-Code": code, "X-Error-Message": code})

    def log_message(self, *_: object) -> None:
        pass


class _Front(_Server):
    def do_HEAD(self) -> None:
        hub = self.hub
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if repo != hub.repo:
            self._refuse(HTTPStatus.UNAUTHORIZED, "RepoNotFound")
        elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._refuse(HTTPStatus.UNAUTHORIZED, "GatedRepo")
        elif revision not in ("main", REVISION):
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        elif file != hub.file:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")
        else:
            size = {"X-Linked-Size": str(len(hub.content))} if hub.states_size else {}
            self._answer(
                HTTPStatus.FOUND,
                {
                    "Location": f"{hub.storage}/{hub.stated}?sig={SIGNATURE}",
                    "X-Repo-Commit": REVISION,
                    "X-Linked-Etag": f'"{hub.stated}"',
                    "ETag": '"of-the-pointer"',
                    **size,
                },
            )

    def do_GET(self) -> None:
        self.do_HEAD()


class _Storage(_Server):
    def do_GET(self) -> None:
        hub, asked = self.hub, self.headers.get("Range")
        hub.ranges.append(asked)
        address = urlsplit(self.path)
        if "Authorization" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "only one way to authenticate")
        elif address.path != f"/{hub.stated}" or parse_qs(address.query).get("sig") != [SIGNATURE]:
            self._refuse(HTTPStatus.FORBIDDEN, "not signed")
        else:
            self._send(int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0, bool(asked))

    def _send(self, begin: int, partly: bool) -> None:
        hub = self.hub
        if begin >= len(hub.content):
            self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{len(hub.content)}"})
            return
        rest = hub.content[begin:]
        headers = {"Content-Length": str(len(rest)), "ETag": f'"{hub.stated}"', "Accept-Ranges": "bytes"}
        if partly:
            headers["Content-Range"] = f"bytes {begin}-{len(hub.content) - 1}/{len(hub.content)}"
        self._answer(HTTPStatus.PARTIAL_CONTENT if partly else HTTPStatus.OK, headers)
        if hub.cut_after:
            rest, hub.cut_after = rest[: hub.cut_after], None
        self.wfile.write(rest)
        self.close_connection = True
