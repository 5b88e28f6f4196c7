"""Every step at which a worker, a mail server or a network can die, and what becomes of the mail."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from sqlalchemy import text

from notifier.composing import Editor
from notifier.mailer import SmtpMailer
from notifier.on_verdict_issued import on_verdict_issued
from notifier.sending import Sender
from notifier.store import deliveries
from shipjury_schemas.testing import verdict_issued
from shipjury_standalone.ports import free_port


@dataclass
class MailServer:
    """A real SMTP server that takes mails, and misbehaves when told to."""

    port: int = 0
    taken: list[tuple[str, str]] = field(default_factory=list)
    at_rcpt: str | None = None
    at_data: str | None = None
    drop_after_data: bool = False

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.at_rcpt:
            return self.at_rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session, envelope):  # noqa: N802
        if self.at_data:
            return self.at_data
        content = envelope.content.decode()
        message_id = next(line for line in content.splitlines() if line.lower().startswith("message-id:"))
        self.taken.append((envelope.rcpt_tos[0], message_id.split(":", 1)[1].strip()))
        if self.drop_after_data:
            server.transport.abort()
        return "250 taken"


@pytest.fixture
def mail_server():
    server = MailServer()
    server.port = free_port()
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    yield server
    controller.stop()


@pytest.fixture
def settings(make_settings, mail_server):
    return make_settings(
        smtp_host="127.0.0.1", smtp_port=mail_server.port, smtp_security="none", smtp_timeout_seconds=5
    )


@pytest_asyncio.fixture
async def due(engine, settings, clock, fold, add_subscriber) -> AsyncIterator[None]:
    """An issue that waits for two subscribers."""
    await add_subscriber("ada@example.org")
    await add_subscriber("bob@example.net")
    await fold(on_verdict_issued, verdict_issued())
    await Editor(engine, settings, clock).compose(clock())
    yield


@pytest.fixture
def sender(engine, settings, clock) -> Sender:
    return Sender(engine, settings, SmtpMailer(settings), clock, asyncio.Event())


async def states(engine) -> dict[str, int]:
    async with engine.connect() as connection:
        return await deliveries.counts(connection)


async def test_each_subscriber_gets_one(due, sender, mail_server, engine) -> None:
    await sender.send_due()
    await sender.send_due()
    assert sorted(address for address, _ in mail_server.taken) == ["ada@example.org", "bob@example.net"]
    assert await states(engine) == {"accepted": 2, "ever_uncertain": 0}


async def test_many_workers_send_each_mail_once(
    due, engine, settings, clock, mail_server, add_subscriber, fold
) -> None:
    workers = [Sender(engine, settings, SmtpMailer(settings), clock, asyncio.Event()) for _ in range(5)]
    await asyncio.gather(*(worker.send_due() for worker in workers))
    assert len(mail_server.taken) == 2


async def test_a_temporary_refusal_waits_and_is_tried_again(due, sender, mail_server, engine, clock) -> None:
    mail_server.at_data = "451 later"
    await sender.send_due()
    assert await states(engine) == {"deferred": 2, "ever_uncertain": 0}
    mail_server.at_data = None
    assert await sender.send_due() == 0, "not before the pause is over"
    clock.pass_(minutes=2)
    await sender.send_due()
    assert await states(engine) == {"accepted": 2, "ever_uncertain": 0}


async def test_a_dead_address_is_suppressed(due, sender, mail_server, engine) -> None:
    mail_server.at_rcpt = "550 5.1.1 no such user"
    await sender.send_due()
    assert await states(engine) == {"failed": 2, "ever_uncertain": 0}
    async with engine.connect() as connection:
        assert set(await connection.scalars(text("SELECT state FROM subscribers"))) == {"suppressed"}


async def test_a_refusal_of_our_content_suppresses_nobody(due, sender, mail_server, engine) -> None:
    mail_server.at_data = "554 looks like spam"
    await sender.send_due()
    assert await states(engine) == {"deferred": 2, "ever_uncertain": 0}
    async with engine.connect() as connection:
        assert set(await connection.scalars(text("SELECT state FROM subscribers"))) == {"confirmed"}


async def test_a_mail_that_nobody_takes_for_three_days_fails(due, sender, mail_server, engine, clock) -> None:
    mail_server.at_data = "451 later"
    for _ in range(40):
        await sender.send_due()
        clock.pass_(hours=4)
    assert await states(engine) == {"failed": 2, "ever_uncertain": 0}


async def test_a_server_that_is_away_costs_nothing(due, engine, make_settings, clock) -> None:
    away = make_settings(smtp_host="127.0.0.1", smtp_port=1, smtp_security="none")
    await Sender(engine, away, SmtpMailer(away), clock, asyncio.Event()).send_due()
    assert await states(engine) == {"deferred": 2, "ever_uncertain": 0}


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs in this worker."""


async def test_a_worker_that_dies_before_the_hand_over_leaves_nothing_uncertain(
    due, engine, settings, clock, mail_server, sender
) -> None:
    async with engine.begin() as connection:
        claimed = await deliveries.claim(connection, clock(), lease=sender._lease, per_domain_per_minute=60)
    assert len(claimed) == 2
    assert await sender.send_due() == 0, "the lease still holds"
    clock.pass_(seconds=settings.lease_seconds + 1)
    await sender.send_due()
    assert len(mail_server.taken) == 2
    assert await states(engine) == {"accepted": 2, "ever_uncertain": 0}


async def test_a_worker_that_dies_between_hand_over_and_record_leaves_it_uncertain(
    due, engine, settings, clock, mail_server, sender, monkeypatch
) -> None:
    async def die(*_: object) -> str:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(deliveries, "record", die)
        with pytest.raises(Killed):
            await sender.send_due()
    assert await sender.send_due() == 0
    clock.pass_(seconds=settings.lease_seconds + 1)
    await sender.send_due()
    clock.pass_(seconds=settings.lease_seconds + 1)
    await sender.send_due()
    counted = await states(engine)
    assert counted["accepted"] == 2, "none is lost"
    assert counted["ever_uncertain"] >= 1
    twice = len(mail_server.taken) - len({message_id for _, message_id in mail_server.taken})
    assert twice <= counted["ever_uncertain"], "only an uncertain mail comes twice"
    assert len({message_id for _, message_id in mail_server.taken}) == 2, "and with the same Message-ID"


async def test_a_server_that_dies_after_the_content_leaves_it_uncertain(
    due, engine, settings, clock, mail_server, sender
) -> None:
    mail_server.drop_after_data = True
    await sender.send_due()
    clock.pass_(seconds=settings.lease_seconds + 1)
    mail_server.drop_after_data = False
    await sender.send_due()
    assert await states(engine) == {"accepted": 2, "ever_uncertain": 2}
    assert len({message_id for _, message_id in mail_server.taken}) == 2


async def test_uncertain_mails_are_left_where_the_policy_says_so(
    due, engine, make_settings, clock, mail_server
) -> None:
    settings = make_settings(
        smtp_host="127.0.0.1", smtp_port=mail_server.port, smtp_security="none", uncertain_policy="leave"
    )
    sender = Sender(engine, settings, SmtpMailer(settings), clock, asyncio.Event())
    mail_server.drop_after_data = True
    await sender.send_due()
    clock.pass_(seconds=settings.lease_seconds + 1)
    await sender.send_due()
    assert await states(engine) == {"uncertain": 2, "ever_uncertain": 2}
    assert len(mail_server.taken) == 2


async def test_a_domain_gets_no_more_than_its_rate(
    engine, make_settings, clock, mail_server, fold, add_subscriber
) -> None:
    settings = make_settings(
        smtp_host="127.0.0.1", smtp_port=mail_server.port, smtp_security="none", per_domain_per_minute=3
    )
    for number in range(8):
        await add_subscriber(f"user{number}@slow.example")
    await add_subscriber("one@quick.example")
    await fold(on_verdict_issued, verdict_issued())
    await Editor(engine, settings, clock).compose(clock())
    workers = [Sender(engine, settings, SmtpMailer(settings), clock, asyncio.Event()) for _ in range(3)]
    await asyncio.gather(*(worker.send_due() for worker in workers))
    taken = [address.rpartition("@")[2] for address, _ in mail_server.taken]
    assert (taken.count("slow.example"), taken.count("quick.example")) == (3, 1)
    for _ in range(3):
        clock.pass_(seconds=61)
        await workers[0].send_due()
    assert len(mail_server.taken) == 9


async def test_a_reader_who_leaves_while_mails_wait_gets_none(due, sender, engine, mail_server, clock) -> None:
    from notifier.store import subscribers

    async with engine.begin() as connection:
        for subscriber_id in list(await connection.scalars(text("SELECT id FROM subscribers"))):
            await subscribers.unsubscribe(connection, subscriber_id, clock())
    await sender.send_due()
    assert mail_server.taken == []
    assert await states(engine) == {"skipped": 2, "ever_uncertain": 0}


async def test_a_worker_that_stops_gives_back_what_it_has_not_begun(due, sender, engine) -> None:
    stop = asyncio.Event()
    stop.set()
    await sender.send_due(stop)
    assert await states(engine) == {"pending": 2, "ever_uncertain": 0}
