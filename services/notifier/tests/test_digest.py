"""From a verdict's event to the mail that tells of it, and out of the list again by one click."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from notifier.composing import Editor
from notifier.on_comparison_issued import on_comparison_issued
from notifier.on_tally_changed import on_tally_changed
from notifier.on_verdict_issued import on_verdict_issued
from notifier.operator_api import operator_app
from notifier.store.issues import NothingNew
from shipjury_schemas.testing import comparison_issued, tally_changed, verdict_issued
from shipjury_schemas.verdict_issued.v1 import Superseded

FLIPPED = Superseded(
    verdict_id="v0",
    verdict="skip",
    score=40,
    issued_at=datetime(2026, 11, 1, tzinfo=UTC),
    cause="evidence",
    explanation="The licence was added (Q03).",
)


@pytest.fixture
def editor(engine, settings, clock) -> Editor:
    return Editor(engine, settings, clock)


async def test_a_verdict_reaches_the_mailbox(editor, sender, mails, fold, add_subscriber) -> None:
    await add_subscriber("ada@example.org")
    await fold(on_verdict_issued, verdict_issued())
    issue = await editor.compose(editor._clock())
    await sender.send_due()
    (mail,) = mails()
    assert mail["Subject"] == issue.title
    plain = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    for body in (plain, html):
        assert "Quillbase" in body
        assert "4 ship and 0 skip of 4 who decided; score 66, interval 60 to 72." in body
        assert "one effective vote, not five" in body.replace("\n", " ")
        assert "http://127.0.0.1:8000/tools/quillbase" in body
    assert len(mail.as_bytes()) < 100_000


async def test_the_mail_can_be_left_by_one_click(
    editor, sender, mails, fold, add_subscriber, browser, engine, clock
) -> None:
    await add_subscriber("ada@example.org")
    await fold(on_verdict_issued, verdict_issued())
    await editor.compose(clock())
    await sender.send_due()
    (mail,) = mails()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"].endswith("<weekly.shipjury.example>")
    assert mail["Precedence"] == "bulk"
    link = re.fullmatch(r"<http://127\.0\.0\.1:8000(/\S+)>", mail["List-Unsubscribe"])[1]

    assert "button" in (await browser.get(link)).text
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT state FROM subscribers")) == "confirmed"

    answer = await browser.post(link, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, answer.text) == (200, "unsubscribed\n")
    assert "set-cookie" not in answer.headers
    assert (await browser.post(link)).status_code == 200
    await fold(on_verdict_issued, verdict_issued(aggregate_version=2, supersedes=FLIPPED), first=50)
    clock.pass_(days=7)
    await editor.compose(clock())
    await sender.send_due()
    assert len(mails()) == 1


async def test_an_issue_is_composed_once_however_many_editors(editor, fold, engine, clock, add_subscriber) -> None:
    await add_subscriber("ada@example.org")
    await fold(on_verdict_issued, verdict_issued())
    outcomes = await asyncio.gather(*(editor.compose(clock()) for _ in range(6)), return_exceptions=True)
    assert len([one for one in outcomes if one is not None and not isinstance(one, BaseException)]) == 1
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM issues")) == 1
        assert await connection.scalar(text("SELECT count(*) FROM deliveries")) == 1
        assert await connection.scalar(text("SELECT count(*) FROM outbox")) == 1


async def test_an_issue_never_changes(editor, fold, engine, clock) -> None:
    await fold(on_verdict_issued, verdict_issued())
    await editor.compose(clock())
    with pytest.raises(DBAPIError, match="immutable"):
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE issues SET title = 'other'"))


async def test_nothing_new_is_no_issue(editor, fold, clock) -> None:
    with pytest.raises(NothingNew):
        await editor.compose(clock())
    await fold(on_verdict_issued, verdict_issued())
    await editor.compose(clock())
    clock.pass_(days=7)
    with pytest.raises(NothingNew):
        await editor.compose(clock())


async def test_a_change_that_commits_late_is_in_the_next_issue(editor, fold, clock) -> None:
    await fold(on_verdict_issued, verdict_issued())
    first = await editor.compose(clock())
    late = verdict_issued(tool_id="other", tool_slug="late", issued_at=clock() - timedelta(hours=1))
    await fold(on_verdict_issued, late, first=50)
    clock.pass_(days=7)
    second = await editor.compose(clock())
    assert [[item.slug for item in issue.items] for issue in (first, second)] == [["quillbase"], ["late"]]
    assert (second.number, second.period_from) == (2, first.period_to)


async def test_the_schedule_composes_when_it_is_due_and_catches_up_once(editor, fold, clock) -> None:
    await fold(on_verdict_issued, verdict_issued(issued_at=clock()))
    assert await editor.compose_due() is None, "the Monday before the first verdict is not due"
    clock.now = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)
    issue = await editor.compose_due()
    assert issue.period_to == datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    assert await editor.compose_due() is None
    await fold(on_verdict_issued, verdict_issued(aggregate_version=2, issued_at=clock()), first=50)
    clock.now = datetime(2026, 12, 16, 3, 0, tzinfo=UTC)
    caught_up = await editor.compose_due()
    assert caught_up.period_to == datetime(2026, 12, 14, 8, 0, tzinfo=UTC)
    assert await editor.compose_due() is None


async def test_each_reader_gets_it_at_the_hour_of_their_own_clock(editor, fold, clock, engine, add_subscriber) -> None:
    for zone in ("Asia/Tokyo", "UTC", "America/New_York"):
        await add_subscriber(f"{zone.partition('/')[2] or zone}@example.org", zone=zone)
    await fold(on_verdict_issued, verdict_issued(issued_at=clock()))
    clock.now = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)
    await editor.compose_due()
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT s.time_zone, d.not_before FROM deliveries d JOIN subscribers s ON s.id = d.subscriber_id")
        )
        due = {zone: moment.astimezone(UTC) for zone, moment in rows}
    assert due["Asia/Tokyo"] == due["UTC"] == clock()
    assert due["America/New_York"] == datetime(2026, 11, 23, 13, 0, tzinfo=UTC)


async def test_a_reader_gets_only_what_was_chosen(editor, sender, mails, fold, clock, add_subscriber) -> None:
    await add_subscriber("all@example.org")
    await add_subscriber("some@example.org", categories=["Fine-tuning"])
    await add_subscriber("none@example.org", categories=["Coding assistants"])
    tuning = verdict_issued(tool_id="t2", tool_slug="unsloth", tool_name="Unsloth", category="Fine-tuning")
    await fold(on_verdict_issued, verdict_issued(), tuning)
    await editor.compose(clock())
    await sender.send_due()
    bodies = {mail["To"]: mail.get_body(("plain",)).get_content() for mail in mails()}
    assert bodies.keys() == {"all@example.org", "some@example.org"}
    assert "Unsloth" in bodies["some@example.org"]
    assert "Quillbase" not in bodies["some@example.org"]


async def test_whoever_waits_for_a_flip_hears_of_it_at_once(sender, mails, fold, add_subscriber, clock) -> None:
    tool = verdict_issued().tool_id
    await add_subscriber("waits@example.org", frequency="flips", tools=[tool])
    await add_subscriber("other@example.org", frequency="flips", tools=["another"])
    clock.pass_(minutes=1)
    await fold(on_verdict_issued, verdict_issued())
    await sender.send_due()
    assert mails() == []
    await fold(on_verdict_issued, verdict_issued(aggregate_version=2, supersedes=FLIPPED), first=50)
    await sender.send_due()
    (mail,) = mails()
    assert (mail["To"], mail["Subject"]) == ("waits@example.org", "Quillbase: was skip, now ship")
    assert "The licence was added (Q03)." in mail.get_body(("plain",)).get_content()


async def test_events_that_come_again_or_out_of_order_change_nothing(fold, engine) -> None:
    old, new = verdict_issued(), verdict_issued(aggregate_version=2, verdict="skip")
    await fold(on_verdict_issued, new, first=2)
    await fold(on_verdict_issued, old, first=1)
    await fold(on_tally_changed, tally_changed(aggregate_version=7, ship=3), tally_changed(aggregate_version=9, ship=4))
    await fold(on_tally_changed, tally_changed(aggregate_version=8, ship=99))
    await fold(on_comparison_issued, comparison_issued(), first=90)
    await fold(on_comparison_issued, comparison_issued(), first=90)
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT verdict, ship FROM tools"))).one()
        kinds = list(await connection.scalars(text("SELECT kind FROM changes ORDER BY id")))
    assert (row.verdict, row.ship) == ("skip", 4)
    assert kinds == ["verdict", "comparison"]


async def test_a_stranger_s_markup_stays_text(editor, sender, mails, fold, add_subscriber, clock) -> None:
    await add_subscriber("ada@example.org")
    await fold(on_verdict_issued, verdict_issued(tool_name='<script>alert(1)</script>"\r\nBcc: x@example.org'))
    await editor.compose(clock())
    await sender.send_due()
    (mail,) = mails()
    assert "<script>" not in mail.get_body(("html",)).get_content()
    assert mail["Bcc"] is None


# The operators' side.


async def test_an_operator_previews_sends_and_reads_the_mailbox(
    engine, settings, editor, clock, fold, sender, add_subscriber
) -> None:
    await add_subscriber("ada@example.org")
    transport = httpx.ASGITransport(operator_app(engine, settings, editor, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://operators") as operator:
        assert "No verdict has changed" in (await operator.get("/notifier/digests/preview")).text
        await fold(on_verdict_issued, verdict_issued())
        preview = await operator.get("/notifier/digests/preview")
        assert "Quillbase" in preview.text
        assert preview.headers["content-security-policy"].startswith("sandbox")
        assert "Quillbase" in (await operator.get("/notifier/digests/preview?as_text=true")).text
        assert "No mail has been sent." in (await operator.get("/notifier/mailbox")).text

        assert (await operator.post("/notifier/digests")).status_code == 202
        assert (await operator.put("/notifier/paused")).json() == {"paused": True}
        assert await sender.send_due() == 0
        assert (await operator.delete("/notifier/paused")).json() == {"paused": False}
        assert await sender.send_due() == 1

        mailbox = (await operator.get("/notifier/mailbox")).text
        mail_id = re.search(r"/notifier/mailbox/([0-9a-f-]{36})", mailbox)[1]
        assert "ada@example.org" in (await operator.get(f"/notifier/mailbox/{mail_id}")).text
        assert "Quillbase" in (await operator.get(f"/notifier/mailbox/{mail_id}/html")).text
        assert (await operator.get("/notifier/mailbox/00000000-0000-0000-0000-000000000000")).status_code == 404
        status = (await operator.get("/notifier/status")).json()
        assert (status["deliveries"]["accepted"], status["subscribers"]) == (1, {"confirmed": 1})


async def test_the_issue_s_event_carries_what_an_archive_shows(editor, fold, engine, clock) -> None:
    await fold(on_verdict_issued, verdict_issued())
    await editor.compose(clock())
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT topic, key, value FROM outbox"))).one()
    value = json.loads(bytes(row.value))
    assert (row.topic, row.key) == ("digests.sent.v1", value["digest_id"])
    assert value["items"][0]["slug"] == "quillbase"
