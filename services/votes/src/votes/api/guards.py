"""What a request has to be before anything looks at it: not sent by another site's page, and leading back to ours."""

from starlette.requests import Request

from shipjury_delivery.same_site import from_another_site

from .problems import Problem


def refuse_other_sites(request: Request) -> None:
    """Raise a 403 where a browser says that another site's page sent the request."""
    if from_another_site(request.headers):
        raise Problem(403, "A vote is taken from this site's own pages only.")


def own_path(back: str) -> str:
    """A path on this site to go back to; ``/`` for anything that could lead elsewhere."""
    if not back.startswith("/") or back.startswith(("//", "/\\")) or not back.isprintable() or "\\" in back:
        return "/"
    return back
