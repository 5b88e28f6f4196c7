"""The journey of one tool, walked as people and operators walk it, with kill -9 in between."""

import email
import email.policy
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import httpx

from shipjury_standalone.driven import Driven

from .quillbase import TOOL_FILE

READER = "ada@example.org"
T = TypeVar("T")


def tool_file(folder: Path) -> Path:
    """The tool, as a file that an operator would write."""
    file = folder / "quillbase.yaml"
    file.write_text(TOOL_FILE)
    return file


def until(what: str, found: Callable[[], T | None], seconds: float) -> T:
    """Poll until something is there; what it was. A service that is being started again is waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if (result := found()) is not None and result is not False:
                return result
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@dataclass
class Journey:
    """One tool's journey. Each step leaves what it saw here, for the tests to look at."""

    data: Path
    seen: dict[str, Any] = field(default_factory=dict)
    left_over: list[str] = field(default_factory=list)
    """Processes that outlived a kill -9 of their parent; there must be none."""

    def __post_init__(self) -> None:
        # the exam that comes with the panel holds; sitting it again would only take the test's time
        environment = {"PANEL_EXAM_AGAIN": "false"}
        self.shipjury = Driven(self.data, "--no-starter", "--no-edge", environment=environment).start()
        self.cookies = httpx.Cookies()

    def cut_the_power(self) -> None:
        """kill -9 of the parent, with which everything ends, and start again."""
        self.left_over += [str(process) for process in self.shipjury.kill()]
        self.shipjury.start()

    @contextmanager
    def reader(self) -> Iterator[httpx.Client]:
        """The same reader each time: a browser that keeps its cookies over our restarts."""
        with self.shipjury.readers() as client:
            client.cookies = self.cookies
            yield client
            self.cookies = client.cookies

    def publish(self) -> None:
        """The operator's command; its answer, and that of doing it again."""
        file = str(tool_file(self.data.parent))
        self.seen["published"] = self.shipjury.command("tools", "publish", file)
        self.seen["published again"] = self.shipjury.command("tools", "publish", file)

    def read_page_before(self) -> None:
        """The tool's page while there is no model that could judge it."""
        with self.reader() as reader:
            self.seen["page before"] = until(
                "the page", lambda: (page := reader.get("/tools/quillbase")).status_code == 200 and page.text, 60
            )

    def let_the_panel_read(self) -> None:
        """Start again with the edge runner, until the panel has had its first answers from the model."""
        self.shipjury.stop()
        self.shipjury.options.remove("--no-edge")
        self.shipjury.start()
        traces = self.shipjury.folder.traces
        until("the panel's first reading", lambda: '"text_completion ' in traces.read_text(), 300)

    def kill_the_edge_runner(self) -> None:
        """kill -9 of the edge runner, in the middle of a review; the parent starts it again."""
        os.kill(self.shipjury.state.children["The edge runner"], signal.SIGKILL)
        until("a new edge runner", lambda: "The edge runner was started again" in self.shipjury.said, 60)

    def read_page(self) -> None:
        """The tool's page and record with the panel's verdict."""
        with self.reader() as reader:

            def judged() -> dict[str, Any] | None:
                answer = reader.get("/tools/quillbase.json")
                return answer.json() if answer.status_code == 200 and answer.json().get("verdict") else None

            self.seen["record"] = until("the verdict", judged, 600)
            self.seen["page"] = reader.get("/tools/quillbase").text
        # spans are written twice a second; those of a process that is killed within that time are lost, and may be
        traces = self.shipjury.folder.traces
        told = ('"publish verdicts.issued.v1"', '"judge tool"')
        until("the verdict's spans", lambda: all(name in traces.read_text() for name in told), 60)

    def vote(self) -> None:
        """One vote, durable when it is answered: the power goes in the same moment."""
        tool = self.seen["record"]["tool"]["tool_id"]
        with self.reader() as reader:
            answer = until(
                "the vote", lambda: (a := reader.put(f"/votes/{tool}", json={"verdict": "ship"})).is_success and a, 60
            )
            self.seen["vote"] = answer.json()
        self.cut_the_power()
        with self.reader() as reader:
            self.seen["tally"] = until(
                "the tally", lambda: (now := reader.get(f"/votes/{tool}").json())["ship"] == 1 and now, 60
            )

    def subscribe(self) -> None:
        """Double opt-in by the mail's link."""
        with self.reader() as reader:
            assert reader.post("/subscriptions", json={"email": READER}).status_code == 202
            mail = until("the confirmation mail", lambda: self.mail("Confirm"), 60)
            link = re.search(r"(/subscriptions/confirm\?token=\S+)", plain(mail))
            assert link is not None, plain(mail)
            self.seen["confirmed"] = reader.post(link[1]).status_code

    def send_digest(self) -> None:
        """The operator sends the digest, and the power goes before the mail is out."""
        until("the verdict in the digest", lambda: "Quillbase" in self.shipjury.command("digest", "preview").stdout, 60)
        self.shipjury.command("digest", "pause")
        self.seen["sent"] = self.shipjury.command("digest", "send")
        self.cut_the_power()
        self.shipjury.command("digest", "resume")
        self.seen["digest"] = until("the digest", lambda: self.mail("Weekly AI Tool Verdicts,"), 90)

    def unsubscribe(self) -> None:
        """One click, as a mail program does it: POST, no cookie."""
        link = re.search(r"(/subscriptions/unsubscribe\?token=[^>]+)", self.seen["digest"]["List-Unsubscribe"])
        assert link is not None
        with self.shipjury.readers() as nobody:
            answer = nobody.post(link[1], data={"List-Unsubscribe": "One-Click"})
            self.seen["unsubscribed"] = answer.status_code
        with self.shipjury.operators() as operator:
            self.seen["subscribers"] = operator.get("/notifier/status").json()["subscribers"]
            self.seen["mailbox"] = operator.get("/notifier/mailbox").text

    def mail(self, subject: str) -> EmailMessage | None:
        """The newest mail to the reader with that subject."""
        found = self.mails(subject)
        return found[-1] if found else None

    def mails(self, subject: str) -> list[EmailMessage]:
        """All mails to the reader with that subject."""
        read = [
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in sorted(self.shipjury.folder.mail.glob("*.eml"))
        ]
        return [mail for mail in read if READER in str(mail["To"]) and subject in str(mail["Subject"])]  # type: ignore[misc]


def plain(mail: EmailMessage) -> str:
    """A mail's text part."""
    part = mail.get_body(("plain",))
    return str(part.get_content()) if part else ""
