"""Readers' routes: subscribe, confirm, unsubscribe by one click, preferences, export, deletion."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from fastapi import FastAPI, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.problems import answer_with_problems, problem
from shipjury_delivery.same_site import from_another_site
from shipjury_delivery.telemetry import FRAMEWORK_SILENT

from .domain.tokens import ExpiredToken, InvalidToken, Purpose, read
from .mail import links, templates
from .settings import Settings
from .store import subscribers

CONSENT = (
    "I want the digest Weekly AI Tool Verdicts by e-mail. I can end it at any time with the link in each mail; my "
    "address is used for nothing else."
)
MOST_CHOICES = 200


class SignUp(BaseModel):
    """What somebody types on the sign-up form."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320, description="Address that the digest goes to.")
    categories: list[str] = Field(default=[], max_length=MOST_CHOICES, description="Categories; none means all.")
    tools: list[str] = Field(default=[], max_length=MOST_CHOICES, description="Tool ids; none means all.")
    frequency: Literal["weekly", "flips"] = Field(
        default="weekly", description="`weekly`: the digest; `flips`: a mail when a chosen tool's verdict turns."
    )
    time_zone: str = Field(default="UTC", max_length=64, description="IANA time zone of the reader.")


class Accepted(BaseModel):
    """The answer to a sign-up, the same for every address."""

    status: Literal["confirmation_sent"] = "confirmation_sent"
    detail: str = "If the address is not subscribed yet, a mail with a link to confirm is on its way."


class BadSignUp(Exception):
    """A field of the form is wrong; ``field`` and ``detail`` say which and why."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


Token = Annotated[str, Query(max_length=200)]
Clock = Callable[[], datetime]


def public_app(engine: AsyncEngine, settings: Settings, clock: Clock) -> FastAPI:
    """The app behind ``/subscriptions`` on the readers' origin."""
    app = FastAPI(
        title="Shipjury subscriptions",
        version="1",
        openapi_url="/subscriptions/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=FRAMEWORK_SILENT,
    )
    answer_with_problems(app)
    key = settings.token_key.get_secret_value().encode()

    def page(name: str, status: int = 200, **values: object) -> HTMLResponse:
        body = templates().get_template(name).render(values)
        return HTMLResponse(
            body,
            status,
            headers={
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",  # the address holds the token
                "Content-Security-Policy": "default-src 'none'; style-src 'self'; font-src 'self'; form-action 'self'; "
                "base-uri 'none'; frame-ancestors 'none'",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def subscriber_id(token: str, purpose: Purpose) -> UUID:
        return read(key, token, purpose, clock()).subscriber_id

    @app.post(
        "/subscriptions", status_code=202, response_model=Accepted, responses={303: {}, 400: {}, 422: {}, 503: {}}
    )
    async def subscribe(request: Request) -> Response:
        """Ask for a confirmation mail. Takes JSON, or a form (then the answer is a redirect)."""
        is_form = not request.headers.get("content-type", "").startswith("application/json")
        if from_another_site(request.headers):
            raise HTTPException(403, "a form on another site may not subscribe anybody")
        sign_up = await (_from_form(request) if is_form else _from_json(request))
        wish = subscribers.Wish(
            email=_address(sign_up.email),
            categories=sign_up.categories,
            tools=sign_up.tools,
            frequency=sign_up.frequency,
            time_zone=_zone(sign_up.time_zone),
            consent_text=CONSENT,
        )
        if wish.frequency == "flips" and not wish.tools:
            raise BadSignUp("tools", "choose at least one tool whose verdict you wait for")
        async with engine.begin() as connection:
            await subscribers.subscribe(connection, wish, clock(), most_pending=settings.max_pending_confirmations)
        if is_form:
            return RedirectResponse("/subscribe/sent", 303)
        return JSONResponse(Accepted().model_dump(), 202)

    @app.get("/subscriptions/confirm", response_class=HTMLResponse)
    async def confirm_page(token: Token) -> Response:
        """A page with a button: mail scanners open links, and must not confirm."""
        subscriber_id(token, "confirm")
        return page("confirm.html.j2", token=token, consent=CONSENT)

    @app.post("/subscriptions/confirm", response_class=HTMLResponse)
    async def confirm(token: Token) -> Response:
        """The second half of the double opt-in; may be repeated."""
        async with engine.begin() as connection:
            confirmed = await subscribers.confirm(connection, subscriber_id(token, "confirm"), clock())
        if confirmed is None:
            return page(
                "message.html.j2",
                410,
                title="This link no longer works",
                text="The subscription was ended. Subscribe again if you want it back.",
            )
        return page("confirmed.html.j2", links=links(settings, confirmed.id, clock()))

    @app.get("/subscriptions/unsubscribe", response_class=HTMLResponse)
    async def unsubscribe_page(token: Token) -> Response:
        """A page with a button; opening it changes nothing (RFC 8058, section 3.1)."""
        subscriber_id(token, "unsubscribe")
        return page("unsubscribe.html.j2", token=token)

    @app.post("/subscriptions/unsubscribe", response_class=PlainTextResponse)
    async def unsubscribe(request: Request, token: Token) -> Response:
        """One click (RFC 8058): no cookie, no redirect, no question. May be repeated."""
        async with engine.begin() as connection:
            await subscribers.unsubscribe(connection, subscriber_id(token, "unsubscribe"), clock())
        if "text/html" in request.headers.get("accept", ""):
            return page("message.html.j2", title="You are unsubscribed", text="No more mails will come.")
        return PlainTextResponse("unsubscribed\n")

    @app.get("/subscriptions/preferences", response_class=HTMLResponse)
    async def preferences_page(token: Token) -> Response:
        """What the subscriber wants to read about, to change, export or delete."""
        async with engine.begin() as connection:
            reader = await subscribers.get(connection, subscriber_id(token, "preferences"))
        if reader is None or reader.state != "confirmed":
            return page("message.html.j2", 410, title="No subscription", text="There is no subscription any more.")
        return page("preferences.html.j2", token=token, reader=reader, saved=False)

    @app.post("/subscriptions/preferences", response_class=HTMLResponse)
    async def preferences(
        token: Token,
        time_zone: Annotated[str, Form(max_length=64)] = "UTC",
        frequency: Annotated[Literal["weekly", "flips"], Form()] = "weekly",
        categories: Annotated[list[str] | None, Form(max_length=MOST_CHOICES)] = None,
        tools: Annotated[list[str] | None, Form(max_length=MOST_CHOICES)] = None,
    ) -> Response:
        """Save preferences."""
        who = subscriber_id(token, "preferences")
        async with engine.begin() as connection:
            await subscribers.change_preferences(
                connection,
                who,
                categories=[name for name in categories or () if name],
                tools=[tool for tool in tools or () if tool],
                frequency=frequency,
                time_zone=_zone(time_zone),
            )
            reader = await subscribers.get(connection, who)
        if reader is None:
            return page("message.html.j2", 410, title="No subscription", text="There is no subscription any more.")
        return page("preferences.html.j2", token=token, reader=reader, saved=True)

    @app.get("/subscriptions/export")
    async def export(token: Token) -> Response:
        """Everything that is stored about the subscriber."""
        async with engine.begin() as connection:
            stored = await subscribers.export(connection, subscriber_id(token, "preferences"))
        if stored is None:
            return problem(410, "nothing is stored about this subscriber")
        return JSONResponse(stored, headers={"Cache-Control": "no-store"})

    @app.post("/subscriptions/delete", response_class=HTMLResponse)
    async def delete(token: Token) -> Response:
        """Delete everything that is stored about the subscriber."""
        async with engine.begin() as connection:
            await subscribers.delete(connection, subscriber_id(token, "preferences"))
        return page("message.html.j2", title="Deleted", text="Nothing is stored about your address any more.")

    @app.exception_handler(BadSignUp)
    async def bad_sign_up(_: Request, error: BadSignUp) -> Response:
        return problem(422, error.detail, errors=[{"field": error.field, "detail": error.detail}])

    @app.exception_handler(subscribers.TooManyPending)
    async def too_many(_: Request, __: subscribers.TooManyPending) -> Response:
        return problem(503, "too many sign-ups wait for confirmation; try again later", {"Retry-After": "3600"})

    @app.exception_handler(InvalidToken)
    async def invalid(_: Request, __: InvalidToken) -> Response:
        return page(
            "message.html.j2",
            400,
            title="This link does not work",
            text="It is not complete, or not one of ours. Copy the whole link from the mail.",
        )

    @app.exception_handler(ExpiredToken)
    async def expired(_: Request, __: ExpiredToken) -> Response:
        return page(
            "message.html.j2",
            410,
            title="This link has expired",
            text="It was valid for seven days. Subscribe again to get a new one.",
        )

    return app


async def _from_json(request: Request) -> SignUp:
    try:
        return SignUp.model_validate_json(await request.body())
    except ValidationError as error:
        raise _first(error) from error


async def _from_form(request: Request) -> SignUp:
    form = await request.form(max_files=0, max_fields=2 * MOST_CHOICES + 10)
    values: dict[str, object] = {
        name: form.getlist(name) if name in ("categories", "tools") else form[name] for name in form if name != "back"
    }
    try:
        return SignUp.model_validate(values)
    except ValidationError as error:
        raise _first(error) from error


def _first(error: ValidationError) -> BadSignUp:
    first = error.errors()[0]
    return BadSignUp(".".join(str(part) for part in first["loc"]) or "body", first["msg"])


def _address(typed: str) -> str:
    try:
        return validate_email(typed.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise BadSignUp("email", str(error)) from error


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise BadSignUp("time_zone", f"{name!r} is no IANA time zone, such as Europe/Berlin")
    return name
