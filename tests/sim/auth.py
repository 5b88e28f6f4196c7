"""Who may call: each provider's manner of authentication, checked by the simulator's own code.

`bearer`; `header:NAME`; `azure` (api-key, or a token of the tenant); `google` (a token that a signed assertion
bought); `aws` (Signature Version 4, or a Bedrock API key).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .errors import Refused
from .world import Provider

REGION = "us-east-1"
_CLOCK_SKEW_S = 300


@dataclass
class Tokens:
    """Access tokens that were sold, and the key pair of Google's service account."""

    lifetime_s: int = 3600
    sold: dict[str, tuple[str, float]] = field(default_factory=dict)
    account_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def sell(self, provider: str) -> dict[str, Any]:
        """A new token of a provider, as an OAuth answer."""
        token = f"ya29.{provider}-{secrets.token_hex(8)}"
        self.sold[token] = (provider, time.time() + self.lifetime_s)
        return {"access_token": token, "expires_in": self.lifetime_s, "token_type": "Bearer"}

    def good(self, provider: str, token: str) -> bool:
        """Whether a token was sold by this provider and has not run out."""
        owner, until = self.sold.get(token, ("", 0.0))
        return owner == provider and until > time.time()

    def service_account(self, token_uri: str) -> dict[str, str]:
        """The file that a person downloads for a service account."""
        pem = self.account_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "sim-project",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "gateway@sim-project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }


def google_token(tokens: Tokens, form: bytes) -> dict[str, Any]:
    """Sell a token for an assertion that the service account's key has signed. Raises :class:`Refused`."""
    fields = {name: values[0] for name, values in parse_qs(form.decode()).items()}
    if fields.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
        raise Refused(400, "unsupported_grant_type")
    signed, _, signature = fields["assertion"].rpartition(".")
    try:
        tokens.account_key.public_key().verify(
            _unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature as error:
        raise Refused(400, "Invalid JWT Signature.") from error
    claims = json.loads(_unpadded(signed.partition(".")[2]))
    if "cloud-platform" not in claims.get("scope", "") or claims["exp"] < time.time():
        raise Refused(400, "Invalid scope or expired assertion")
    return tokens.sell("vertex")


def entra_token(tokens: Tokens, provider: Provider, form: bytes) -> dict[str, Any]:
    """Sell a token for an application's id and secret. Raises :class:`Refused`."""
    fields = {name: values[0] for name, values in parse_qs(form.decode()).items()}
    if fields.get("grant_type") != "client_credentials" or not fields.get("scope", "").endswith("/.default"):
        raise Refused(400, "AADSTS90014: the request body must contain grant_type and scope")
    if (fields.get("client_id"), fields.get("client_secret")) != ("sim-app", provider.secret):
        raise Refused(401, "AADSTS7000215: Invalid client secret provided.")
    return tokens.sell("azure")


def authenticate(provider: Provider, tokens: Tokens, request: web.Request, body: bytes) -> None:
    """Let the request in, or raise :class:`Refused`."""
    bearer = request.headers.get("Authorization", "")
    token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else ""
    if provider.auth == "bearer" and token == provider.key:
        return
    if provider.auth.startswith("header:") and request.headers.get(provider.auth[7:]) == provider.key:
        return
    if provider.auth == "azure" and (request.headers.get("api-key") == provider.key or tokens.good("azure", token)):
        return
    if provider.auth == "google" and tokens.good("vertex", token):
        return
    if provider.auth == "aws":
        if token == provider.key:
            return
        if bearer.startswith("AWS4-HMAC-SHA256 "):
            _signature_v4(provider, request, body)
            return
    raise Refused(403 if provider.auth == "aws" else 401, "Incorrect API key provided", code="invalid_api_key")


def _signature_v4(provider: Provider, request: web.Request, body: bytes) -> None:
    """Check a signature as AWS describes it: canonical request, string to sign, derived key."""
    told = dict(
        part.strip().split("=", 1)
        for part in request.headers["Authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(",")
    )
    access_key, day, region, service, ending = told["Credential"].split("/")
    stamp = request.headers.get("X-Amz-Date", "")
    try:
        signed_at = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    except ValueError as error:
        raise Refused(403, "X-Amz-Date is missing or malformed") from error
    if abs(time.time() - signed_at) > _CLOCK_SKEW_S or not stamp.startswith(day):
        raise Refused(403, "Signature expired")
    if (access_key, region, service, ending) != ("AKIASIMULATED", REGION, "bedrock", "aws4_request"):
        raise Refused(403, "The security token included in the request is invalid.")
    names = told["SignedHeaders"].split(";")
    if "host" not in names or "x-amz-date" not in names:
        raise Refused(403, "host and x-amz-date must be signed")
    path, _, query = request.raw_path.partition("?")
    canonical = "\n".join(
        [
            request.method,
            # Every service but S3 encodes the path's segments once more than the request line does.
            "/".join(quote(segment, safe="-_.~") for segment in path.split("/")),
            "&".join(sorted(query.split("&"))) if query else "",
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/{ending}"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{provider.secret}".encode()
    for part in (day, region, service, ending):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), told["Signature"]):
        raise Refused(403, "The request signature we calculated does not match the signature you provided.")


def model_of_path(request: web.Request) -> str:
    """The model id in Bedrock's and Azure's paths."""
    return unquote(request.match_info["model"])


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
