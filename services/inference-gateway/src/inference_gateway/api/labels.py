"""Who pays, more finely: a cost centre comes from key or project and may be narrowed by a header; so may the user."""

import re
from dataclasses import replace

from ..domain.errors import GatewayError
from ..store.accounts import Account
from .asked import Asked
from .http import Scope, header

_LABEL = re.compile(rb"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}")


def cost_centre(scope: Scope, account: Account) -> str | None:
    """The cost centre of a request. The header (`X-Shipjury-Cost-Centre`, or Hugging Face's `X-HF-Bill-To`) stands
    below the key's own, never instead of it."""
    label = header(scope, b"x-shipjury-cost-centre") or header(scope, b"x-hf-bill-to")
    if label is None:
        return account.cost_centre
    if not _LABEL.fullmatch(label):
        raise GatewayError(
            "invalid_parameter",
            "a cost centre has at most 64 letters, digits, spaces and ._/-",
            param="x-shipjury-cost-centre",
        )
    narrowed = label.decode()
    return narrowed if account.cost_centre is None else f"{account.cost_centre}/{narrowed}"


def named_by(scope: Scope, asked: Asked) -> Asked:
    """The request, with the end user that the header `X-Shipjury-User` names; it stands above the body's `user`, and no
    provider gets to see it. Raises ``invalid_parameter``."""
    user = header(scope, b"x-shipjury-user")
    if user is None:
        return asked
    if not user.strip() or len(user) > 256:
        raise GatewayError("invalid_parameter", "a user has 1 to 256 bytes", param="x-shipjury-user")
    return replace(asked, user=user.strip().decode("utf-8", "replace"))
