"""How a mail leaves: by SMTP, or into a folder of ``.eml`` files."""

import asyncio
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

import aiosmtplib

from .domain.delivery import Accepted, Deferred, Outcome, Unknown, outcome_of_reply
from .settings import Settings

BeforeContent = Callable[[], Awaitable[None]]


class Mailer(Protocol):
    """Sends one mail. ``before_content`` is awaited when the server has taken the recipient, before the content goes.

    What it raises goes up: then nothing has been sent.
    """

    async def send(self, mail: EmailMessage, before_content: BeforeContent) -> Outcome:
        """The server's answer; never raises for what the server or the network does."""
        ...


class FolderMailer:
    """Writes each mail to ``<Message-ID>.eml``: sent twice, it is there once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, mail: EmailMessage, before_content: BeforeContent) -> Outcome:
        """Write the file under another name, then rename it."""
        await before_content()
        name = str(mail["Message-ID"]).strip("<>").partition("@")[0]
        try:
            await asyncio.to_thread(self._write, name, mail.as_bytes())
        except OSError as error:
            return Deferred(f"{self._folder}: {error.strerror}")
        return Accepted()

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f".{name}.part"
        part.write_bytes(content)
        part.replace(self._folder / f"{name}.eml")


class SmtpMailer:
    """One connection a mail, step by step, so that it is known how far a mail got."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, mail: EmailMessage, before_content: BeforeContent) -> Outcome:
        """MAIL, RCPT, then DATA; the stage tells what a failure means."""
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            timeout=settings.smtp_timeout_seconds,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        )
        recipient = mail["To"].addresses[0].addr_spec
        try:
            await client.connect()
            await client.mail(settings.sender)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Deferred(_words(error))
        try:
            await client.rcpt(recipient)
        except aiosmtplib.SMTPResponseException as error:
            await _quit(client)
            return outcome_of_reply(error.code, error.message, about_recipient=True)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Deferred(_words(error))
        try:
            await before_content()
        except BaseException:
            client.close()
            raise
        return await self._content(client, mail)

    async def _content(self, client: aiosmtplib.SMTP, mail: EmailMessage) -> Outcome:
        try:
            reply = await client.data(mail.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            await _quit(client)
            return outcome_of_reply(error.code, error.message, about_recipient=False)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Unknown(_words(error))
        await _quit(client)
        return outcome_of_reply(reply.code, reply.message, about_recipient=False)


def make_mailer(settings: Settings) -> Mailer:
    """The way out that the settings name."""
    return FolderMailer(settings.mail_folder) if settings.mail_folder else SmtpMailer(settings)


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        client.close()  # the mail's fate is known; how the connection ends is not our concern


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
