"""Microsoft Entra's tokens for an application: OAuth's client credentials.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import time
from urllib.parse import quote, urlencode

import orjson
import urllib3
from pydantic import SecretStr

from .access import Bought, NoAccess

PUBLIC_CLOUD = "https://login.microsoftonline.com"
_SCOPE = "https://cognitiveservices.azure.com/.default"


class EntraApplication(Bought):
    """Tokens for an application's id and secret."""

    def __init__(self, tenant: str, client_id: str, client_secret: SecretStr, authority: str = PUBLIC_CLOUD) -> None:
        super().__init__()
        self._url = f"{authority.rstrip('/')}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        self._client_id = client_id
        self._client_secret = client_secret

    def fetch(self) -> tuple[str, float]:
        """Buy a token from the tenant."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "scope": _SCOPE,
        }
        answer = urllib3.PoolManager(retries=False).request(
            "POST",
            self._url,
            body=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=urllib3.Timeout(connect=5, read=10),
        )
        if answer.status != 200:
            raise NoAccess(f"Entra answered {answer.status}")
        told = orjson.loads(answer.data)
        return str(told["access_token"]), time.time() + float(told["expires_in"])
