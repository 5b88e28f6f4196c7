"""Whether a page of another site made a browser send a request (OWASP's Fetch Metadata and origin checks)."""

from collections.abc import Mapping
from urllib.parse import urlsplit


def from_another_site(headers: Mapping[str, str]) -> bool:
    """What a browser says of the page that asks; ``headers`` by lower-case name.

    Browsers that are not old send ``Sec-Fetch-Site``, all send ``Origin`` with a form. What sends neither is no
    browser, and carries nobody's cookie or password by itself.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    own = headers.get("host", "").lower()
    return origin is not None and (not own or urlsplit(origin).netloc.lower() != own)
