"""The panel's tables. Documents are what went in or out as events; columns are what is searched by."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

_moment = sa.DateTime(timezone=True)

tools = sa.Table(
    "tools",
    metadata,
    sa.Column("tool_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("slug", sa.Text, nullable=False),
    sa.Column("document", JSONB, nullable=False, comment="tools.published.v1 as it came"),
    sa.Column("received_at", _moment, nullable=False, server_default=sa.func.now()),
    sa.Index("tools_slug", "slug"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("job_key", sa.Text, nullable=False, unique=True, comment="a job taken up again goes on with its run"),
    sa.Column("tool_id", sa.Text, nullable=False),
    sa.Column("tool_version", sa.BigInteger, nullable=False),
    sa.Column("exam_id", sa.Text, nullable=False),
    sa.Column("exam_taken_at", _moment, nullable=False),
    sa.Column("judge", JSONB, nullable=False, comment="model, weights, engine"),
    sa.Column("prompt_hash", sa.Text, nullable=False),
    sa.Column("document", JSONB, nullable=False, comment="the tool as it was read"),
    sa.Column("state", sa.Text, nullable=False, server_default="running"),
    sa.Column("started_at", _moment, nullable=False),
    sa.Column("finished_at", _moment),
    sa.CheckConstraint("state IN ('running', 'issued', 'outdated', 'refused')", name="runs_state"),
)

readings = sa.Table(
    "readings",
    metadata,
    sa.Column("judge_key", sa.Text, primary_key=True, comment="weights and engine; an exam has a key of its own"),
    sa.Column("prompt_hash", sa.Text, primary_key=True, comment="SHA-256 over prompt and word pair"),
    sa.Column("difference", sa.Double, nullable=False, comment="log mass of the good word minus the bad one, nats"),
    sa.Column("run_id", sa.Text, nullable=False, comment="run or exam whose call it was"),
    sa.Column("request_id", sa.Text),
    sa.Column("cost_nano_usd", sa.BigInteger),
    sa.Column("read_at", _moment, nullable=False, server_default=sa.func.now()),
    sa.Index("readings_run", "run_id"),
)

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("review_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), nullable=False),
    sa.Column("persona", sa.Text, nullable=False),
    sa.Column("document", JSONB, nullable=False),
    sa.Column("finished_at", _moment, nullable=False),
    sa.UniqueConstraint("run_id", "persona", name="reviews_run_persona"),
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("verdict_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), nullable=False, unique=True),
    sa.Column("tool_id", sa.Text, nullable=False),
    sa.Column("aggregate_version", sa.BigInteger, nullable=False),
    sa.Column("document", JSONB, nullable=False, comment="verdicts.issued.v1 as it went out"),
    sa.Column("issued_at", _moment, nullable=False),
    sa.UniqueConstraint("tool_id", "aggregate_version", name="verdicts_tool_version"),
)

exams = sa.Table(
    "exams",
    metadata,
    sa.Column("exam_id", sa.Text, primary_key=True),
    sa.Column("taken_at", _moment, primary_key=True),
    sa.Column("shipped", sa.Boolean, nullable=False, comment="came with the package; not sat here"),
    sa.Column("document", JSONB, nullable=False),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("reviewer_id", sa.Text, primary_key=True),
    sa.Column("aggregate_version", sa.BigInteger, nullable=False),
    sa.Column("document", JSONB, nullable=False, comment="reviewers.rated.v1 as it went out"),
)

comparisons = sa.Table(
    "comparisons",
    metadata,
    sa.Column("comparison_id", sa.Text, primary_key=True),
    sa.Column("aggregate_version", sa.BigInteger, nullable=False),
    sa.Column("document", JSONB, nullable=False, comment="comparisons.issued.v1 as it went out"),
)
