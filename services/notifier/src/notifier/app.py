"""Composition root of the notifier: the only place that builds settings, engines and loops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from shipjury_delivery import Api, Subscription, Worker
from shipjury_delivery.database import Wakeups, create_engine
from shipjury_schemas import ComparisonIssued, TallyChanged, VerdictIssued

from .api import public_app
from .composing import Editor
from .mailer import make_mailer
from .on_comparison_issued import on_comparison_issued
from .on_tally_changed import on_tally_changed
from .on_verdict_issued import on_verdict_issued
from .operator_api import operator_app
from .sending import Sender
from .settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """Readers' routes under ``/subscriptions``, operators' under ``/notifier``."""
    engine = create_engine(settings)
    try:
        editor = Editor(engine, settings, _now)
        yield Api(public=public_app(engine, settings, _now), operator=operator_app(engine, settings, editor, _now))
    finally:
        await engine.dispose()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """Folds events, composes due issues, sends mails."""
    engine = create_engine(settings)
    wakeups = Wakeups(engine)
    sender = Sender(engine, settings, make_mailer(settings), _now, wakeups.event("deliveries"))
    editor = Editor(engine, settings, _now)
    try:
        yield Worker(
            service="notifier",
            engine=engine,
            settings=settings,
            subscriptions=(
                Subscription("notifier.on_verdict_issued", VerdictIssued, on_verdict_issued),
                Subscription("notifier.on_comparison_issued", ComparisonIssued, on_comparison_issued),
                Subscription("notifier.on_tally_changed", TallyChanged, on_tally_changed),
            ),
            background=(wakeups.run, sender.run, editor.run),
        )
    finally:
        await engine.dispose()
