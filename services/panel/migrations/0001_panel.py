"""Tools as they came, runs with their readings and reviews, verdicts, exams, ratings, comparisons."""

from alembic import op

from shipjury_delivery import tables

revision = "0001_panel"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE tools (
        tool_id text PRIMARY KEY,
        version bigint NOT NULL,
        status text NOT NULL,
        slug text NOT NULL,
        document jsonb NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX tools_slug ON tools (slug)",
    """
    CREATE TABLE runs (
        run_id text PRIMARY KEY,
        job_key text NOT NULL UNIQUE,
        tool_id text NOT NULL,
        tool_version bigint NOT NULL,
        exam_id text NOT NULL,
        exam_taken_at timestamptz NOT NULL,
        judge jsonb NOT NULL,
        prompt_hash text NOT NULL,
        document jsonb NOT NULL,
        state text NOT NULL DEFAULT 'running'
            CONSTRAINT runs_state CHECK (state IN ('running', 'issued', 'outdated', 'refused')),
        started_at timestamptz NOT NULL,
        finished_at timestamptz
    )
    """,
    """
    CREATE TABLE readings (
        judge_key text NOT NULL,
        prompt_hash text NOT NULL,
        difference double precision NOT NULL,
        run_id text NOT NULL,
        request_id text,
        cost_nano_usd bigint,
        read_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (judge_key, prompt_hash)
    )
    """,
    "CREATE INDEX readings_run ON readings (run_id)",
    """
    CREATE TABLE reviews (
        review_id text PRIMARY KEY,
        run_id text NOT NULL REFERENCES runs (run_id),
        persona text NOT NULL,
        document jsonb NOT NULL,
        finished_at timestamptz NOT NULL,
        CONSTRAINT reviews_run_persona UNIQUE (run_id, persona)
    )
    """,
    """
    CREATE TABLE verdicts (
        verdict_id text PRIMARY KEY,
        run_id text NOT NULL UNIQUE REFERENCES runs (run_id),
        tool_id text NOT NULL,
        aggregate_version bigint NOT NULL,
        document jsonb NOT NULL,
        issued_at timestamptz NOT NULL,
        CONSTRAINT verdicts_tool_version UNIQUE (tool_id, aggregate_version)
    )
    """,
    """
    CREATE TABLE exams (
        exam_id text NOT NULL,
        taken_at timestamptz NOT NULL,
        shipped boolean NOT NULL,
        document jsonb NOT NULL,
        PRIMARY KEY (exam_id, taken_at)
    )
    """,
    """
    CREATE TABLE ratings (
        reviewer_id text PRIMARY KEY,
        aggregate_version bigint NOT NULL,
        document jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE comparisons (
        comparison_id text PRIMARY KEY,
        aggregate_version bigint NOT NULL,
        document jsonb NOT NULL
    )
    """,
)


def upgrade() -> None:
    tables.create_all(op)
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("comparisons", "ratings", "exams", "verdicts", "reviews", "readings", "runs", "tools"):
        op.execute(f"DROP TABLE {table}")
    tables.drop_all(op)
