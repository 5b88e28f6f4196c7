"""AWS Signature Version 4, made by botocore.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import logging
from collections.abc import Mapping

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from pydantic import SecretStr

# It logs what it signs, and with it the session's token.
logging.getLogger("botocore.auth").setLevel(logging.INFO)


class Signed:
    """Signs each call with an access key."""

    def __init__(self, access_key_id: str, secret: SecretStr, session: SecretStr | None, region: str) -> None:
        token = None if session is None else session.get_secret_value()
        self._signer = SigV4Auth(Credentials(access_key_id, secret.get_secret_value(), token), "bedrock", region)

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The signature over method, URL and body."""
        signed = AWSRequest(method, url, data=body, headers={"Content-Type": "application/json"})
        self._signer.add_auth(signed)
        return {name: value for name, value in signed.headers.items() if name != "Content-Type"}

    def refused(self, sent: Mapping[str, str]) -> bool:
        """There is nothing to fetch."""
        return False
