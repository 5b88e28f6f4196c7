"""Operators' routes: preview and send an issue, stop all mails, and in standalone the mailbox."""

import email.policy
from collections.abc import Callable
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import answer_with_problems
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from .composing import Editor
from .mail import Links, digest_bodies, templates
from .settings import Settings
from .store import deliveries, subscribers
from .store.issues import NothingNew

_PREVIEW_LINKS = Links(unsubscribe="#unsubscribe", preferences="#preferences", confirm="#confirm")
_MOST_MAILS = 200


def operator_app(engine: AsyncEngine, settings: Settings, editor: Editor, clock: Callable[[], datetime]) -> FastAPI:
    """The app behind ``/notifier`` on the operators' port."""
    app = FastAPI(
        title="Shipjury notifier, operators",
        version="1",
        openapi_url="/notifier/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    answer_with_problems(app)

    @app.get("/notifier/status")
    async def status() -> dict[str, Any]:
        """Subscribers and deliveries by state, and whether mails are paused."""
        async with engine.connect() as connection:
            return {
                "subscribers": await subscribers.count_by_state(connection),
                "deliveries": await deliveries.counts(connection),
                "paused": await deliveries.paused(connection),
            }

    @app.get("/notifier/digests/preview")
    async def preview(as_text: Annotated[bool, Query()] = False) -> Response:
        """The issue that would be sent now; nothing is claimed or stored."""
        draft = await editor.draft()
        if draft is None:
            return PlainTextResponse("No verdict has changed since the last issue.\n")
        html, plain = digest_bodies(settings, draft, draft.items, _PREVIEW_LINKS, settings.digest_time_zone)
        return PlainTextResponse(plain) if as_text else _sandboxed(html)

    @app.post("/notifier/digests")
    async def send() -> JSONResponse:
        """Compose an issue of everything up to now and queue it, without waiting for the schedule."""
        try:
            issue = await editor.compose(clock())
        except NothingNew:
            return JSONResponse({"digest_id": None, "detail": "no verdict has changed since the last issue"}, 200)
        return JSONResponse({"digest_id": issue.digest_id if issue else None, "detail": "queued"}, 202)

    @app.put("/notifier/paused")
    async def pause() -> dict[str, bool]:
        """Stop all mails."""
        return await _switch(True)

    @app.delete("/notifier/paused")
    async def resume() -> dict[str, bool]:
        """Let mails go again."""
        return await _switch(False)

    async def _switch(is_on: bool) -> dict[str, bool]:
        async with engine.begin() as connection:
            await deliveries.set_paused(connection, is_on, clock())
        return {"paused": is_on}

    if settings.mail_folder is not None:
        _mailbox(app, settings.mail_folder)
    return app


def _mailbox(app: FastAPI, folder: Path) -> None:
    """The mailbox of the standalone: what the ``.eml`` files say, newest first."""

    @app.get("/notifier/mailbox", response_class=HTMLResponse)
    def mailbox() -> Response:
        files = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        mails = [{"id": path.stem, "mail": _read(path)} for path in files[:_MOST_MAILS]]
        body = templates().get_template("mailbox.html.j2").render(mails=mails, more=max(len(files) - _MOST_MAILS, 0))
        return _own_page(body)

    @app.get("/notifier/mailbox/{mail_id}", response_class=HTMLResponse)
    def one(mail_id: UUID) -> Response:
        path = folder / f"{mail_id}.eml"
        if not path.is_file():
            return PlainTextResponse("no such mail\n", 404)
        mail = _read(path)
        body = (
            templates()
            .get_template("mailbox_mail.html.j2")
            .render(id=mail_id, headers=list(mail.items()), plain=_part(mail, "plain"))
        )
        return _own_page(body)

    @app.get("/notifier/mailbox/{mail_id}/html", response_class=HTMLResponse)
    def html(mail_id: UUID) -> Response:
        path = folder / f"{mail_id}.eml"
        if not path.is_file():
            return PlainTextResponse("no such mail\n", 404)
        return _sandboxed(_part(_read(path), "html"))


def _read(path: Path) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy makes it so
    return message


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    return str(part.get_content()) if part is not None else ""


def _own_page(body: str) -> HTMLResponse:
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(body, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def _sandboxed(body: str) -> HTMLResponse:
    """A mail shown as a page: no script, no form, no request, no access to the operators' origin."""
    policy = (
        "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; "
        "style-src 'unsafe-inline'; frame-ancestors 'self'"
    )
    return HTMLResponse(body, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
