"""Accounts, budgets, edge nodes, the ledger, and delivery's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shipjury_delivery import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_now = sa.func.now()
_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create everything, and the trigger that tells replicas of changes."""
    tables.create_all(op)
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", _moment, nullable=False, server_default=_now),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, sa.ForeignKey("organisations.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("cost_centre", sa.Text),
        sa.Column("allow_unpriced", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("private", sa.Boolean, nullable=False, server_default=sa.false(), comment="edge nodes only"),
        sa.Column("preferred", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("blocked", sa.Text, comment="why nothing is admitted, or null"),
        sa.Column("ledger_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_at", _moment, nullable=False, server_default=_now),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False, comment="first characters, for people"),
        sa.Column("models", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("providers", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("cost_centre", sa.Text),
        sa.Column("expires_at", _moment),
        sa.Column("revoked_at", _moment),
        sa.Column("created_at", _moment, nullable=False, server_default=_now),
    )
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("scope_id", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("window", sa.Text, nullable=False),
        sa.Column("limit", sa.BigInteger, nullable=False),
        sa.Column("created_at", _moment, nullable=False, server_default=_now),
        sa.UniqueConstraint("scope", "scope_id", "metric", "window", name="budgets_once"),
        sa.CheckConstraint("scope IN ('organisation', 'project', 'key')", name="budgets_scope"),
        sa.CheckConstraint("metric IN ('nano_usd', 'tokens', 'requests', 'concurrency')", name="budgets_metric"),
        sa.CheckConstraint("\"window\" IN ('minute', 'day', 'month', 'total')", name="budgets_window"),
        sa.CheckConstraint('"limit" >= 0 AND "limit" <= 2305843009213693952', name="budgets_limit"),
    )
    op.create_table(
        "edge_nodes",
        sa.Column("node_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text, nullable=False),
        sa.Column("beat_at", _moment, nullable=False),
        sa.Column("heartbeat_seconds", sa.Float, nullable=False),
        sa.Column("models", JSONB, nullable=False),
        sa.Column("labels", JSONB, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("entry_id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("corrects", sa.Text),
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("first_attempt", sa.Boolean, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("cost_centre", sa.Text),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("end_user", sa.Text),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, comment="what happened, where the outcome alone does not say"),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("cached_input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cost_nano_usd", sa.BigInteger, comment="null: unpriced"),
        sa.Column("bound_nano_usd", sa.BigInteger, comment="what was reserved"),
        sa.Column("price_version", sa.Text),
        sa.Column("upstream_request_id", sa.Text),
        sa.Column("usage", JSONB, comment="as the provider sent it"),
        sa.Column("explanation", JSONB),
        sa.Column("started_at", _moment, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("time_to_first_token_ms", sa.Integer),
        sa.Column("usage_day", sa.Date, nullable=False),
        sa.Column("written_at", _moment, nullable=False, server_default=_now),
        sa.UniqueConstraint("attempt_id", "kind", name="ledger_attempt_once"),
        sa.CheckConstraint("kind IN ('attempt', 'reversal', 'correction')", name="ledger_kind"),
        sa.Index("ledger_request", "request_id"),
        sa.Index("ledger_project_day", "project_id", "usage_day"),
        sa.Index("ledger_key_started", "key_id", "started_at"),
        sa.Index("ledger_organisation_started", "organisation_id", "started_at"),
    )
    op.execute(
        """
        CREATE FUNCTION gateway_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('gateway_snapshot', TG_TABLE_NAME);
            RETURN NULL;
        END $$
        """
    )
    for table in ("organisations", "keys", "budgets", "edge_nodes"):
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION gateway_changed()"
        )
    # Not for ledger_version: it moves with every batch of usage and is no part of the snapshot.
    op.execute(
        "CREATE TRIGGER projects_changed AFTER INSERT OR DELETE OR UPDATE OF "
        "name, cost_centre, allow_unpriced, private, preferred, blocked ON projects "
        "FOR EACH STATEMENT EXECUTE FUNCTION gateway_changed()"
    )


def downgrade() -> None:
    """Drop everything."""
    for table in ("ledger", "edge_nodes", "budgets", "keys", "projects", "organisations"):
        op.drop_table(table)
    op.execute("DROP FUNCTION gateway_changed()")
    tables.drop_all(op)
