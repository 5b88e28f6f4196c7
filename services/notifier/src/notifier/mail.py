"""Mails as they are sent: HTML and plain text of the same content, with the headers that mailing lists need."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from .domain.digest import ORDER, Change, Item
from .domain.tokens import Purpose, Token, sign
from .settings import Settings
from .store.issues import Issue
from .store.subscribers import Subscriber

HEADINGS = {
    "flip": "Reversals",
    "new_verdict": "Verdicts",
    "comparison": "Comparisons",
    "panel_against_community": "Panel against community",
    "most_contested": "Most contested",
}


class MailTooLarge(Exception):
    """A mail exceeds 100 KB: readers' mail programs would cut it."""


MOST_BYTES = 100_000


@cache
def templates() -> Environment:
    """The notifier's templates; HTML is escaped, plain text is not."""
    return Environment(
        loader=PackageLoader("notifier"),
        autoescape=select_autoescape(("html", "html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True)
class Links:
    """The links of one subscriber."""

    unsubscribe: str
    preferences: str
    confirm: str


def links(settings: Settings, subscriber_id: UUID, now: datetime) -> Links:
    """Links that work for one subscriber only."""
    key = settings.token_key.get_secret_value().encode()

    def link(purpose: Purpose) -> str:
        return settings.link(f"/subscriptions/{purpose}?token={sign(key, Token(purpose, subscriber_id, now))}")

    return Links(unsubscribe=link("unsubscribe"), preferences=link("preferences"), confirm=link("confirm"))


def digest(
    settings: Settings, issue: Issue, items: tuple[Item, ...], reader: Subscriber, mail_id: UUID
) -> EmailMessage:
    """An issue as one subscriber gets it."""
    own = links(settings, reader.id, issue.composed_at)
    html, plain = digest_bodies(settings, issue, items, own, reader.time_zone)
    message = _message(settings, reader.email, issue.title, mail_id, plain, html, issue.composed_at)
    _as_list(message, settings, own)
    return _within_bounds(message)


def digest_bodies(
    settings: Settings, issue: Issue, items: tuple[Item, ...], own: Links, time_zone: str
) -> tuple[str, str]:
    """HTML and plain text of an issue."""
    values = {
        "issue": issue,
        "sections": [
            (HEADINGS[kind], chosen) for kind in ORDER if (chosen := [item for item in items if item.kind == kind])
        ],
        "links": own,
        "address": settings.link,
        "day": _day(issue.period_to, time_zone),
        "since": _day(issue.period_from, time_zone),
    }
    environment = templates()
    return (
        environment.get_template("digest.html.j2").render(values),
        environment.get_template("digest.txt.j2").render(values),
    )


def confirmation(settings: Settings, reader: Subscriber, mail_id: UUID, now: datetime) -> EmailMessage:
    """The mail that asks whether the address' owner wants the digest."""
    values = {"link": links(settings, reader.id, now).confirm, "site": settings.link("/"), "reader": reader}
    environment = templates()
    message = _message(
        settings,
        reader.email,
        "Confirm your subscription to Weekly AI Tool Verdicts",
        mail_id,
        environment.get_template("confirmation.txt.j2").render(values),
        environment.get_template("confirmation.html.j2").render(values),
        now,
    )
    message["Auto-Submitted"] = "auto-generated"
    return _within_bounds(message)


def flip(settings: Settings, change: Change, reader: Subscriber, mail_id: UUID, now: datetime) -> EmailMessage:
    """The mail that tells of one verdict that turned."""
    own = links(settings, reader.id, now)
    values = {"change": change, "links": own, "address": settings.link, "day": _day(change.issued_at, reader.time_zone)}
    environment = templates()
    message = _message(
        settings,
        reader.email,
        f"{change.name}: was {change.previous}, now {change.verdict}",
        mail_id,
        environment.get_template("flip.txt.j2").render(values),
        environment.get_template("flip.html.j2").render(values),
        now,
    )
    _as_list(message, settings, own)
    return _within_bounds(message)


def _message(
    settings: Settings, recipient: str, subject: str, mail_id: UUID, plain: str, html: str, date: datetime
) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(settings.sender_name, addr_spec=settings.sender)
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = date
    # The same for every attempt at this delivery, so that a mail which came twice can be told to be one.
    message["Message-ID"] = f"<{mail_id}@{settings.sender.rpartition('@')[2]}>"
    message.set_content(plain, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def _as_list(message: EmailMessage, settings: Settings, own: Links) -> None:
    """RFC 2919, RFC 2369 and RFC 8058: what makes a mail a list's mail that one click ends."""
    message["List-Id"] = f"{settings.sender_name} <{settings.list_id}>"
    message["List-Unsubscribe"] = f"<{own.unsubscribe}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Precedence"] = "bulk"


def _within_bounds(message: EmailMessage) -> EmailMessage:
    size = len(message.as_bytes())
    if size > MOST_BYTES:
        raise MailTooLarge(f"the mail has {size} bytes, at most {MOST_BYTES} are sent")
    return message


def _day(moment: datetime, time_zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(time_zone)):%-d %B %Y}"
