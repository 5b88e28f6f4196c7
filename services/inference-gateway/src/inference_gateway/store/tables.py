"""The tables, as queries name them. The schema itself is made by the migrations."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData()
_moment = sa.DateTime(timezone=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


organisations = sa.Table(
    "organisations", metadata, sa.Column("id", sa.Text, primary_key=True), sa.Column("name", sa.Text)
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *_texts("organisation_id", "name", "cost_centre", "blocked"),
    sa.Column("allow_unpriced", sa.Boolean),
    sa.Column("private", sa.Boolean),
    sa.Column("zdr", sa.Boolean),
    sa.Column("regions", ARRAY(sa.Text)),
    sa.Column("preferred", ARRAY(sa.Text)),
    sa.Column("ledger_version", sa.BigInteger),
    sa.Column("throttle_requests_per_minute", sa.BigInteger),
    sa.Column("throttle_minutes", sa.Integer),
    sa.Column("anomaly_version", sa.BigInteger),
    sa.Column("created_at", _moment),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *_texts("project_id", "name", "hint", "cost_centre"),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("models", ARRAY(sa.Text)),
    sa.Column("providers", ARRAY(sa.Text)),
    sa.Column("expires_at", _moment),
    sa.Column("revoked_at", _moment),
    sa.Column("previous_sha256", sa.LargeBinary),
    sa.Column("previous_until", _moment),
    sa.Column("created_at", _moment),
)

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *_texts("scope", "scope_id", "metric", "window", "cause"),
    sa.Column("limit", sa.BigInteger),
    sa.Column("until", _moment),
    sa.Column("created_at", _moment),
)

edge_nodes = sa.Table(
    "edge_nodes",
    metadata,
    sa.Column("node_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    *_texts("state", "base_url", "engine"),
    sa.Column("beat_at", _moment),
    sa.Column("heartbeat_seconds", sa.Float),
    sa.Column("models", JSONB),
    sa.Column("labels", JSONB),
    sa.Column("cordoned", sa.Boolean),
    sa.Column("beat", JSONB),
)

edge_deployments = sa.Table(
    "edge_deployments",
    metadata,
    sa.Column("node_id", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger),
    sa.Column("models", JSONB),
    sa.Column("cordoned", sa.Boolean),
    sa.Column("drained", sa.Boolean),
    sa.Column("deployed_at", _moment),
)

edge_benchmarks = sa.Table(
    "edge_benchmarks",
    metadata,
    sa.Column("benchmark_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    *_texts("node_id", "model"),
    sa.Column("told", JSONB),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    *_texts("entry_id", "kind", "corrects", "attempt_id", "request_id"),
    sa.Column("first_attempt", sa.Boolean),
    *_texts("organisation_id", "project_id", "cost_centre", "key_id", "end_user"),
    *_texts("provider", "model", "route", "outcome", "reason"),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("cost_nano_usd", sa.BigInteger),
    sa.Column("bound_nano_usd", sa.BigInteger),
    *_texts("price_version", "upstream_request_id"),
    sa.Column("usage", JSONB(none_as_null=True)),
    sa.Column("explanation", JSONB(none_as_null=True)),
    sa.Column("started_at", _moment),
    sa.Column("duration_ms", sa.Integer),
    sa.Column("time_to_first_token_ms", sa.Integer),
    sa.Column("usage_day", sa.Date),
    sa.Column("written_at", _moment),
    sa.Column("prompt_hash", sa.Text),
)

watch = sa.Table(
    "watch",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("holder", sa.Text),
    sa.Column("held_until", _moment),
    sa.Column("ledger_id", sa.BigInteger),
    sa.Column("pending", JSONB),
)

watch_series = sa.Table(
    "watch_series",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("project_id", "model", "measure")),
    sa.Column("state", JSONB),
)

anomalies = sa.Table(
    "anomalies",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *_texts("project_id", "model", "measure"),
    sa.Column("observed_nano_usd_per_minute", sa.BigInteger),
    sa.Column("expected_nano_usd_per_minute", sa.BigInteger),
    sa.Column("observed_requests_per_minute", sa.Float),
    sa.Column("expected_requests_per_minute", sa.Float),
    *(sa.Column(name, _moment) for name in ("since", "opened_at", "closed_at", "throttled_until", "lifted_at")),
)
