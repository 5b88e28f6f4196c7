"""From a provider file and credentials to calls that can be made: the address, the way in, or why there is none.

Credentials are fields by name: `key` for a key; what a scheme of its own needs; and what stands in the address, such as
a region or a resource. They come from the environment, from files, or from the database.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from ..adapters.access import NOBODY, Access, Fixed
from .manifest_files import OPTIONAL, Auth, Manifest
from .secrets import Secrets

Values = Mapping[str, SecretStr]


class BadCredentials(ValueError):
    """Credentials that a provider has no use for; the text says what is missing, never a value."""


@dataclass(frozen=True)
class Connection:
    """Where calls go and how they are let in; ``refuse`` says why none can be made."""

    base_url: str
    access: Access
    refuse: str | None = None


class Accesses:
    """Makes connections, and keeps each as long as its credentials stay the same: tokens that were bought are kept."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], Access] = {}

    def from_secrets(self, manifest: Manifest, secrets: Secrets) -> Connection:
        """The connection with the operator's own credentials: the first way of authenticating that is complete."""
        placed, missing = _placed(manifest, secrets)
        base_url = _filled(manifest.base_url, placed)
        for auth in manifest.auth:
            values = _values(auth, secrets)
            if values is not None:
                access = self._access(manifest.id, auth, values)
                return Connection(base_url, access, "not_configured" if missing else None)
        return Connection(base_url, NOBODY, "no_credentials")

    def from_values(self, manifest: Manifest, secrets: Secrets, values: Values) -> Connection:
        """The connection with credentials that are stored; what their address lacks is the operator's.

        Raises :class:`BadCredentials`.
        """
        auth = check(manifest, values)
        placed, _ = _placed(manifest, secrets)
        placed |= {name: values[name].get_secret_value() for name in manifest.base_url_env if name in values}
        missing = set(manifest.base_url_env) - set(placed)
        access = self._access(manifest.id, auth, values)
        return Connection(_filled(manifest.base_url, placed), access, "not_configured" if missing else None)

    def _access(self, provider: str, auth: Auth, values: Values) -> Access:
        print_of = hashlib.sha256(
            "\0".join(f"{name}={values[name].get_secret_value()}" for name in sorted(values)).encode()
        ).digest()
        kept = self._kept.get((provider, print_of))
        if kept is None:
            kept = self._kept[provider, print_of] = _build(auth, values)
        return kept


def check(manifest: Manifest, values: Values) -> Auth:
    """The way of authenticating that these values are complete for. Raises :class:`BadCredentials`."""
    given = set(values)
    for auth in manifest.auth:
        if auth.needs <= given:
            unknown = given - auth.needs - OPTIONAL - set(manifest.base_url_env)
            if unknown:
                raise BadCredentials(f"{manifest.id} has no use for {', '.join(sorted(unknown))}")
            return auth
    ways = " or ".join(", ".join(sorted(auth.needs)) for auth in manifest.auth)
    raise BadCredentials(f"{manifest.id} needs {ways}")


def _values(auth: Auth, secrets: Secrets) -> dict[str, SecretStr] | None:
    """What the environment has for a way of authenticating; ``None`` where it is not complete."""
    if auth.scheme == "none":
        return {}
    if auth.scheme in ("bearer", "header"):
        key = next((value for name in auth.env if (value := secrets.secret(name)) is not None), None)
        return None if key is None else {"key": key}
    found: dict[str, SecretStr] = {}
    for field, name in auth.fields.items():
        text = secrets.text(name)
        if text is not None and field in auth.files:
            text = secrets.file(text)
        if text is not None:
            found[field] = SecretStr(text)
    return found if auth.needs <= set(found) else None


def _build(auth: Auth, values: Values) -> Access:
    """The access. What needs a cloud's library loads it here: a gateway without such a provider does not carry it."""
    if auth.scheme == "none":
        return NOBODY
    if auth.scheme == "aws":
        from ..adapters.aws import Signed

        region = values["region"].get_secret_value()
        key_id = values["access_key_id"].get_secret_value()
        return Signed(key_id, values["secret_access_key"], values.get("session_token"), region)
    if auth.scheme == "google":
        from ..adapters.google import GoogleAccount

        return GoogleAccount(values["account"])
    if auth.scheme == "entra":
        from ..adapters.entra import PUBLIC_CLOUD, EntraApplication

        authority = values["authority"].get_secret_value() if "authority" in values else PUBLIC_CLOUD
        tenant, client = (values[name].get_secret_value() for name in ("tenant_id", "client_id"))
        return EntraApplication(tenant, client, values["client_secret"], authority)
    prefix = "Bearer " if auth.scheme == "bearer" else ""
    return Fixed({auth.header: SecretStr(prefix + values["key"].get_secret_value())})


def _placed(manifest: Manifest, secrets: Secrets) -> tuple[dict[str, str], bool]:
    """What stands in the address, and whether something of it is missing."""
    found = {name: secrets.text(variable) for name, variable in manifest.base_url_env.items()}
    placed = {name: value for name, value in found.items() if value is not None}
    return placed, len(placed) < len(found)


def _filled(base_url: str, placed: Mapping[str, str]) -> str:
    for name, value in placed.items():
        base_url = base_url.replace("{" + name + "}", value)
    return base_url.rstrip("/")
