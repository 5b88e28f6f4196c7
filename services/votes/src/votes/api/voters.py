"""Who asks: a signed cookie, or an account where a trusted proxy names one; and from where, as hashes of the day."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer
from starlette.requests import Request
from starlette.responses import Response

from ..domain import client_address, daily_hash, network_prefix, pseudonym
from ..domain.network import Network, is_within, parse_address
from ..store.admission import Visit

COOKIE = "shipjury_voter"
_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_SIGNALS = ("user-agent", "accept-language", "accept-encoding", "sec-ch-ua", "sec-ch-ua-platform")


@dataclass(frozen=True, slots=True)
class Voter:
    """A voter. ``cookie`` is the value that the browser should hold from now on; ``None`` for an account."""

    id: str
    cookie: str | None
    is_new: bool


class Voters:
    """Recognizes voters and gives newcomers an identity.

    ``cookie_keys``: the newest first. A forged or damaged cookie is no error: who sends one is a newcomer.
    """

    def __init__(
        self,
        *,
        cookie_keys: Sequence[bytes],
        pseudonym_key: bytes,
        network_key: bytes,
        proxies: Sequence[Network] = (),
        account_header: str | None = None,
        cookie_seconds: int = 400 * 24 * 3600,
    ) -> None:
        # itsdangerous wants the newest key last: it signs with that one and accepts all.
        self._signer = Signer(list(reversed(cookie_keys)), salt="votes.voter", digest_method=hashlib.sha256)
        self._pseudonym_key = pseudonym_key
        self._network_key = network_key
        self._proxies = proxies
        self._account_header = account_header
        self._cookie_seconds = cookie_seconds

    def of(self, request: Request) -> Voter:
        """The voter who sent a request; a new one where it names none that we know."""
        if self._account_header and self._from_proxy(request):
            account = request.headers.get(self._account_header, "").strip()
            if account:
                return Voter(f"account:{account}", None, is_new=False)
        known = self._known(request.cookies.get(COOKIE, ""))
        voter = known or secrets.token_urlsafe(16)
        return Voter(f"cookie:{voter}", self._signer.sign(voter).decode(), is_new=known is None)

    def _known(self, cookie: str) -> str | None:
        try:
            voter = self._signer.unsign(cookie.encode("utf-8", "surrogateescape")).decode()
        except (BadSignature, UnicodeError):
            return None
        return voter if _ID.match(voter) else None

    def pseudonym(self, tool_id: str, voter: Voter) -> str:
        """The voter's name for one tool: the only one that is stored."""
        return pseudonym(self._pseudonym_key, tool_id, voter.id)

    def visit(self, request: Request, tool_id: str, voter: Voter, salt: bytes) -> Visit:
        """What may be counted about a request. The address itself goes no further than this line."""
        network = network_prefix(
            client_address(self._peer(request), request.headers.getlist("x-forwarded-for"), self._proxies)
        )
        signal = "\n".join(f"{name}: {request.headers.get(name, '')}" for name in _SIGNALS)
        return Visit(
            tool_id=tool_id,
            voter=daily_hash(self._network_key, salt, "voter", voter.id),
            network=daily_hash(self._network_key, salt, "network", network),
            signal=daily_hash(self._network_key, salt, "signal", signal),
        )

    def remember(self, request: Request, response: Response, voter: Voter, *, lasting: bool) -> None:
        """Give the browser its cookie: for this visit, or, once it has voted, to last."""
        if voter.cookie is None:
            return
        response.set_cookie(
            COOKIE,
            voter.cookie,
            max_age=self._cookie_seconds if lasting else None,
            path="/votes",
            httponly=True,
            samesite="lax",
            secure=self._is_https(request),
        )

    def _is_https(self, request: Request) -> bool:
        if self._from_proxy(request) and "x-forwarded-proto" in request.headers:
            return request.headers["x-forwarded-proto"].split(",")[-1].strip().lower() == "https"
        return request.url.scheme == "https"

    def _from_proxy(self, request: Request) -> bool:
        return is_within(parse_address(self._peer(request)), self._proxies)

    def _peer(self, request: Request) -> str | None:
        return request.client.host if request.client else None
