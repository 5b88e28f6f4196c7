"""Google's tokens, by Google's own library: service accounts, workload identity, authorised users.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/auth-and-credentials
"""

from datetime import UTC
from typing import Any

import google.auth
import orjson
import urllib3
from google.auth.transport.urllib3 import Request
from pydantic import SecretStr

from .access import Bought

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
            info = orjson.loads(self._account.get_secret_value())
            self._credentials, _ = google.auth.load_credentials_from_dict(info, scopes=[_SCOPE])
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=10), retries=False)
        self._credentials.refresh(Request(pool))
        return str(self._credentials.token), self._credentials.expiry.replace(tzinfo=UTC).timestamp()
