"""Google's tokens, by Google's own library: for service accounts and authorised users.

Other kinds of key files can name programs to run and addresses to read: they are not loaded.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/auth-and-credentials
"""

from datetime import UTC
from typing import Any

import orjson
import urllib3
from google.auth.transport.urllib3 import Request
from google.oauth2.credentials import Credentials as AuthorisedUser
from google.oauth2.service_account import Credentials as ServiceAccount
from pydantic import SecretStr

from .access import Bought, NoAccess

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleAccount(Bought):
    """Tokens for the credentials of a key file (its JSON text)."""

    def __init__(self, account: SecretStr) -> None:
        super().__init__()
        self._account = account
        self._credentials: Any = None

    def fetch(self) -> tuple[str, float]:
        """Buy a token from the file's token address."""
        if self._credentials is None:
            self._credentials = _loaded(orjson.loads(self._account.get_secret_value()))
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=10), retries=False)
        self._credentials.refresh(Request(pool))  # type: ignore[no-untyped-call]
        return str(self._credentials.token), self._credentials.expiry.replace(tzinfo=UTC).timestamp()


def _loaded(info: dict[str, Any]) -> Any:
    kind = info.get("type")
    if kind == "service_account":
        return ServiceAccount.from_service_account_info(info, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
    if kind == "authorized_user":
        return AuthorisedUser.from_authorized_user_info(info, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
    raise NoAccess(f"a key file of the type {kind!r} is not used")
