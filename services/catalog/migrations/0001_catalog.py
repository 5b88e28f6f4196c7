"""Tools with versions and addresses, what other services said about them, bookmarks, the site's revision."""

from alembic import op

from shipjury_delivery import tables

revision = "0001_catalog"
down_revision = None

STATEMENTS = (
    # A tool's standing record. `origin` says who published it: the starter catalog never overwrites anybody else.
    """
    CREATE TABLE tools (
        tool_id uuid PRIMARY KEY,
        slug text NOT NULL UNIQUE,
        version bigint NOT NULL CHECK (version > 0),
        status text NOT NULL CHECK (status IN ('published', 'retired')),
        name text NOT NULL,
        vendor text NOT NULL,
        category text NOT NULL,
        family text,
        record jsonb NOT NULL,
        content_hash text NOT NULL,
        origin text NOT NULL,
        merged_into uuid REFERENCES tools,
        first_published_at timestamptz NOT NULL,
        published_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX tools_by_category ON tools (category, name)",
    """
    CREATE TABLE tool_versions (
        tool_id uuid NOT NULL REFERENCES tools,
        version bigint NOT NULL,
        record jsonb NOT NULL,
        content_hash text NOT NULL,
        origin text NOT NULL,
        published_at timestamptz NOT NULL,
        PRIMARY KEY (tool_id, version)
    )
    """,
    # Other names as they would stand in an address; two tools may share one, then it leads to neither.
    """
    CREATE TABLE tool_aliases (
        address text NOT NULL,
        tool_id uuid NOT NULL REFERENCES tools,
        alias text NOT NULL,
        PRIMARY KEY (address, tool_id)
    )
    """,
    # Every verdict is kept: a tool's page shows how it changed and why. `summary` is what lists show of it.
    """
    CREATE TABLE verdicts (
        tool_id uuid NOT NULL,
        version bigint NOT NULL,
        verdict_id uuid NOT NULL,
        issued_at timestamptz NOT NULL,
        verdict text NOT NULL,
        summary jsonb NOT NULL,
        event jsonb NOT NULL,
        PRIMARY KEY (tool_id, version)
    )
    """,
    "CREATE INDEX verdicts_by_time ON verdicts (issued_at DESC)",
    """
    CREATE TABLE comparisons (
        comparison_id text PRIMARY KEY,
        version bigint NOT NULL,
        a_verdict_id uuid NOT NULL,
        b_verdict_id uuid NOT NULL,
        issued_at timestamptz NOT NULL,
        event jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE tallies (
        tool_id uuid PRIMARY KEY,
        version bigint NOT NULL,
        event jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE reviewers (
        reviewer_id text PRIMARY KEY,
        version bigint NOT NULL,
        persona text NOT NULL,
        rated_at timestamptz NOT NULL,
        event jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE digests (
        digest_id text PRIMARY KEY,
        version bigint NOT NULL,
        number integer NOT NULL,
        sent_at timestamptz NOT NULL,
        event jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE benchmarks (
        benchmark_id text PRIMARY KEY,
        version bigint NOT NULL,
        event jsonb NOT NULL
    )
    """,
    # `reader` is SHA-256 of a random cookie: whoever reads the table cannot take over a reader's list.
    """
    CREATE TABLE bookmarks (
        reader bytea NOT NULL,
        tool_id uuid NOT NULL REFERENCES tools,
        kept_at timestamptz NOT NULL,
        PRIMARY KEY (reader, tool_id)
    )
    """,
    "CREATE INDEX bookmarks_by_age ON bookmarks (kept_at)",
    # One row: grows with every change that a page can show, in the transaction that makes it. Pages are cached by it.
    "CREATE TABLE site (one boolean PRIMARY KEY DEFAULT true CHECK (one), revision bigint NOT NULL)",
    "INSERT INTO site (revision) VALUES (1)",
)


def upgrade() -> None:
    """Create the tables."""
    tables.create_all(op)
    for statement in STATEMENTS:
        op.execute(statement)
