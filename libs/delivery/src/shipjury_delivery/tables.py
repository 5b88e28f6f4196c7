"""Delivery's tables: outbox, inbox, jobs. They live in the service's own database, beside what they tell of."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

_now = sa.func.now()
_moment = sa.DateTime(timezone=True)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("headers", JSONB, nullable=False, comment="[[name, text], ...], traceparent included"),
    sa.Column("traceparent", sa.Text),
    sa.Column("created_at", _moment, nullable=False, server_default=_now),
    sa.Column("sent_at", _moment),
    sa.Column("parked_at", _moment, comment="set where the broker refuses the row; holds up its key only"),
    sa.Column("error", sa.Text),
    sa.Index("outbox_unsent", "id", postgresql_where=sa.text("sent_at IS NULL")),
    sa.Index("outbox_parked", "topic", "key", "id", postgresql_where=sa.text("parked_at IS NOT NULL")),
    sa.Index("outbox_sent", "sent_at", postgresql_where=sa.text("sent_at IS NOT NULL")),
)

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("group_name", sa.Text, primary_key=True),
    sa.Column("ce_id", sa.Text, primary_key=True),
    sa.Column("applied_at", _moment, nullable=False, server_default=_now),
    sa.Index("inbox_applied_at", "applied_at", postgresql_using="brin"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="ready"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0", comment="attempts begun"),
    sa.Column("not_before", _moment, nullable=False, server_default=_now),
    sa.Column("lease", sa.Text),
    sa.Column("leased_until", _moment),
    sa.Column("error", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Column("created_at", _moment, nullable=False, server_default=_now),
    sa.Column("finished_at", _moment),
    sa.UniqueConstraint("kind", "key", name="jobs_kind_key"),
    sa.CheckConstraint("state IN ('ready', 'running', 'done', 'dead')", name="jobs_state"),
    sa.Index(
        "jobs_due",
        "kind",
        "not_before",
        "id",
        postgresql_where=sa.text("state IN ('ready', 'running')"),
    ),
)


def create_all(op: Any) -> None:
    """Create the tables, from a service's first migration: ``create_all(op)`` with Alembic's ``op``."""
    metadata.create_all(op.get_bind(), checkfirst=False)


def drop_all(op: Any) -> None:
    """Drop the tables: the way back of the first migration."""
    metadata.drop_all(op.get_bind(), checkfirst=False)
