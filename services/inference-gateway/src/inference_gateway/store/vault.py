"""Provider credentials as they lie in the database: encrypted, and bound to the provider and project that they are for.

Fernet (AES-128-CBC with HMAC-SHA-256), by the `cryptography` library. The first key of the setting encrypts, all of
them decrypt: a key is rotated by putting a new one in front, sealing everything again, and taking the old one away.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
from pydantic import SecretStr

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet as _Opener


class NoKey(RuntimeError):
    """There is no key to encrypt with, or the key is none; the text says what to set."""


class Unreadable(ValueError):
    """What is stored cannot be opened with these keys, or was sealed for somebody else."""


class Vault:
    """Seals and opens. Without keys it does neither."""

    def __init__(self, keys: SecretStr | None) -> None:
        texts = [] if keys is None else [part.strip() for part in keys.get_secret_value().split(",") if part.strip()]
        self._fernet: _Opener | None = None
        if not texts:
            return
        # Loaded here: a gateway that stores no credentials does not carry the library.
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._fernet = MultiFernet([Fernet(text) for text in texts])
        except ValueError:
            # The library's own message quotes nothing, and neither must this.
            raise NoKey("GATEWAY_CREDENTIALS_KEYS holds something that is no key") from None

    def seal(self, provider: str, project_id: str | None, values: Mapping[str, SecretStr]) -> bytes:
        """Encrypt credentials for a provider and a project (``None``: everybody). Raises :class:`NoKey`."""
        if self._fernet is None:
            raise NoKey("GATEWAY_CREDENTIALS_KEYS is not set: credentials cannot be stored")
        told = {name: value.get_secret_value() for name, value in values.items()}
        return self._fernet.encrypt(orjson.dumps({"for": [provider, project_id], "values": told}))

    def open(self, provider: str, project_id: str | None, sealed: bytes) -> dict[str, SecretStr]:
        """Decrypt. Raises :class:`Unreadable`."""
        if self._fernet is None:
            raise Unreadable("no key")
        from cryptography.fernet import InvalidToken

        try:
            told = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise Unreadable("sealed with another key") from None
        if told["for"] != [provider, project_id]:
            raise Unreadable("sealed for another provider or project")
        return {name: SecretStr(value) for name, value in told["values"].items()}


def new_key() -> str:
    """A key for the setting."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
