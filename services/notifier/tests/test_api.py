"""The readers' routes, as a browser, a mail program and a stranger use them."""

import re
from email.message import EmailMessage

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from notifier.api import public_app


def link_in(mail: EmailMessage, purpose: str) -> str:
    body = mail.get_body(("plain",)).get_content()
    return re.search(rf"http://127\.0\.0\.1:8000(/subscriptions/{purpose}\?token=\S+)", body)[1]


async def states(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(text("SELECT state FROM subscribers ORDER BY consented_at, email")))


async def test_signing_up_takes_two_steps(browser, sender, mails, engine) -> None:
    answer = await browser.post("/subscriptions", json={"email": "ada@example.org"})
    assert (answer.status_code, answer.json()["status"]) == (202, "confirmation_sent")
    assert await states(engine) == ["pending"]

    await sender.send_due()
    (mail,) = mails()
    assert mail["To"] == "ada@example.org"
    link = link_in(mail, "confirm")

    page = await browser.get(link)
    assert "Confirm your subscription" in page.text
    assert await states(engine) == ["pending"], "opening the link, as mail scanners do, confirms nothing"

    assert (await browser.post(link)).status_code == 200
    assert (await browser.post(link)).status_code == 200
    assert await states(engine) == ["confirmed"]


async def test_a_form_is_answered_by_a_redirect(browser) -> None:
    answer = await browser.post(
        "/subscriptions",
        data={"email": "ada@example.org", "categories": ["LLM gateways", "Fine-tuning"], "back": "/tools"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/subscribe/sent")


async def test_the_answer_does_not_tell_who_subscribes(browser, sender, mails, engine, clock) -> None:
    first = await browser.post("/subscriptions", json={"email": "ada@example.org"})
    await sender.send_due()
    await browser.post(link_in(mails()[0], "confirm"))
    clock.pass_(days=2)
    second = await browser.post("/subscriptions", json={"email": "ADA@example.org"})
    await sender.send_due()
    assert (second.status_code, second.text) == (first.status_code, first.text)
    assert len(mails()) == 1, "who is confirmed gets no second confirmation"
    assert await states(engine) == ["confirmed"]


async def test_nobody_can_fill_a_stranger_s_mailbox(browser, sender, mails, clock) -> None:
    for _ in range(20):
        await browser.post("/subscriptions", json={"email": "victim@example.org"})
        await sender.send_due()
        clock.pass_(minutes=11)
    assert len(mails()) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"email": "a@b\r\nBcc: c@example.org"}, "email"),
        ({"email": ""}, "email"),
        ({"email": "ada@localhost"}, "email"),
        ({}, "email"),
        ({"email": "ada@example.org", "time_zone": "Mars/Base"}, "time_zone"),
        ({"email": "ada@example.org", "frequency": "hourly"}, "frequency"),
        ({"email": "ada@example.org", "frequency": "flips"}, "tools"),
        ({"email": "ada@example.org", "colour": "green"}, "colour"),
    ],
)
async def test_a_wrong_field_is_named(browser, engine, body: dict[str, str], field: str) -> None:
    answer = await browser.post("/subscriptions", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field
    assert await states(engine) == []


async def test_a_form_on_another_site_subscribes_nobody(browser, engine) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = await browser.post("/subscriptions", data={"email": "ada@example.org"}, headers=headers)
        assert answer.status_code == 403
    assert await states(engine) == []


async def test_a_huge_body_is_refused(browser) -> None:
    answer = await browser.post(
        "/subscriptions", content=b"{" + b" " * 100_000, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    for path in ("/subscriptions", "/subscriptions/preferences?token=none"):
        answer = await browser.post(path, data={"email": "a" * 100_000})
        assert (answer.status_code, answer.json()["detail"]) == (413, "a body may have 65,536 bytes"), path


async def test_pending_sign_ups_are_bounded(browser, settings, engine, clock) -> None:
    bounded = settings.model_copy(update={"max_pending_confirmations": 2})
    transport = httpx.ASGITransport(public_app(engine, bounded, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answers = [await client.post("/subscriptions", json={"email": f"u{n}@example.org"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert answers[-1].headers["retry-after"]


async def subscribe(browser: httpx.AsyncClient, sender, mails) -> httpx.Response:
    await browser.post("/subscriptions", json={"email": "ada@example.org"})
    await sender.send_due()
    (mail,) = mails()
    confirmed = await browser.post(link_in(mail, "confirm"))
    assert confirmed.status_code == 200
    return confirmed


async def test_preferences_are_changed_by_the_link_only(browser, sender, mails, engine) -> None:
    confirmed = await subscribe(browser, sender, mails)
    link = re.search(r'href="(?:http://127\.0\.0\.1:8000)?(/subscriptions/preferences\?token=[^"]+)"', confirmed.text)[
        1
    ]
    saved = await browser.post(link, data={"time_zone": "Asia/Tokyo", "frequency": "weekly", "categories": ["A", "B"]})
    assert "Saved" in saved.text
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT categories, time_zone FROM subscribers"))).one()
    assert (row.categories, row.time_zone) == (["A", "B"], "Asia/Tokyo")
    stored = (await browser.get(link.replace("/preferences", "/export"))).json()
    assert (stored["email"], stored["mails"][0]["kind"]) == ("ada@example.org", "confirmation")
    assert "every" in stored["consent"]["text"] or "mail" in stored["consent"]["text"]
    assert (await browser.post(link.replace("/preferences", "/delete"))).status_code == 200
    assert await states(engine) == []
    assert (await browser.get(link)).status_code == 410


async def test_an_old_or_forged_link_says_so(browser, sender, mails, clock) -> None:
    await browser.post("/subscriptions", json={"email": "ada@example.org"})
    await sender.send_due()
    link = link_in(mails()[0], "confirm")
    assert (await browser.post(link[:-1] + ("A" if link[-1] != "A" else "B"))).status_code == 400
    assert (await browser.get("/subscriptions/confirm?token=nonsense")).status_code == 400
    clock.pass_(days=8)
    assert (await browser.post(link)).status_code == 410


async def test_pages_with_a_token_keep_it_to_themselves(browser, sender, mails) -> None:
    await browser.post("/subscriptions", json={"email": "ada@example.org"})
    await sender.send_due()
    page = await browser.get(link_in(mails()[0], "confirm"))
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
