"""Anomalies and what they throttle, corrections by operators, keys that are rotated without downtime."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them."""
    op.add_column("projects", sa.Column("throttle_requests_per_minute", sa.BigInteger, comment="null: never throttled"))
    op.add_column("projects", sa.Column("throttle_minutes", sa.Integer, nullable=False, server_default="60"))
    op.add_column("projects", sa.Column("anomaly_version", sa.BigInteger, nullable=False, server_default="0"))
    # A throttle is a budget of its own beside the operator's; it has an end.
    op.add_column("budgets", sa.Column("cause", sa.Text, nullable=False, server_default="operator"))
    op.add_column("budgets", sa.Column("until", _moment))
    op.drop_constraint("budgets_once", "budgets")
    op.create_unique_constraint("budgets_once", "budgets", ["scope", "scope_id", "metric", "window", "cause"])
    op.add_column("keys", sa.Column("previous_sha256", sa.LargeBinary, unique=True))
    op.add_column("keys", sa.Column("previous_until", _moment))
    # One attempt, one reversal; corrections may follow each other.
    op.drop_constraint("ledger_attempt_once", "ledger")
    op.create_index(
        "ledger_attempt_once",
        "ledger",
        ["attempt_id", "kind"],
        unique=True,
        postgresql_where=sa.text("kind IN ('attempt', 'reversal')"),
    )
    op.create_index("ledger_attempt", "ledger", ["attempt_id"])
    op.create_index("ledger_day", "ledger", ["usage_day"])
    op.create_table(
        "watch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", _moment),
        sa.Column("ledger_id", sa.BigInteger, nullable=False, comment="last row that series and pending hold"),
        sa.Column("pending", JSONB, nullable=False, server_default="[]", comment="slots that are not judged yet"),
    )
    op.execute("INSERT INTO watch (id, ledger_id) VALUES (1, 0)")
    op.create_table(
        "watch_series",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("measure", sa.Text, primary_key=True),
        sa.Column("state", JSONB, nullable=False),
    )
    op.create_table(
        "anomalies",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("observed_nano_usd_per_minute", sa.BigInteger, nullable=False),
        sa.Column("expected_nano_usd_per_minute", sa.BigInteger, nullable=False),
        sa.Column("observed_requests_per_minute", sa.Float, nullable=False),
        sa.Column("expected_requests_per_minute", sa.Float, nullable=False),
        sa.Column("since", _moment, nullable=False),
        sa.Column("opened_at", _moment, nullable=False),
        sa.Column("closed_at", _moment),
        sa.Column("throttled_until", _moment),
        sa.Column("lifted_at", _moment, comment="when a person lifted the throttle"),
        sa.Index("anomalies_opened", "opened_at"),
    )
    op.create_index(
        "anomalies_open", "anomalies", ["project_id"], unique=True, postgresql_where=sa.text("closed_at IS NULL")
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("anomalies", "watch_series", "watch"):
        op.drop_table(table)
    op.drop_index("ledger_day", "ledger")
    op.drop_index("ledger_attempt", "ledger")
    op.drop_index("ledger_attempt_once", "ledger")
    op.create_unique_constraint("ledger_attempt_once", "ledger", ["attempt_id", "kind"])
    for column in ("previous_until", "previous_sha256"):
        op.drop_column("keys", column)
    op.drop_constraint("budgets_once", "budgets")
    op.execute("DELETE FROM budgets WHERE cause <> 'operator'")
    op.create_unique_constraint("budgets_once", "budgets", ["scope", "scope_id", "metric", "window"])
    for table, column in (
        ("budgets", "until"),
        ("budgets", "cause"),
        ("projects", "anomaly_version"),
        ("projects", "throttle_minutes"),
        ("projects", "throttle_requests_per_minute"),
    ):
        op.drop_column(table, column)
