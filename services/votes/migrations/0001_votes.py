"""Ballots, logs, tallies, known tools, and what identities are made from."""

from alembic import op

from shipjury_delivery import tables

revision = "0001_votes"
down_revision = None

STATEMENTS = (
    # What readers may vote on, as tools.published.v1 tells it.
    """
    CREATE TABLE tools (
        tool_id uuid PRIMARY KEY,
        slug text NOT NULL,
        name text NOT NULL,
        status text NOT NULL,
        version bigint NOT NULL
    )
    """,
    # Each voter's current vote. A withdrawn one stays with its version. `network` and `signal` are hashes whose salt
    # is destroyed after its day: they tell which votes of one day came from one place, and nothing else.
    """
    CREATE TABLE ballots (
        tool_id uuid NOT NULL,
        voter text NOT NULL,
        vote text NOT NULL CHECK (vote IN ('ship', 'skip', 'withdrawn')),
        state text NOT NULL CHECK (state IN ('counted', 'held', 'voided')),
        reason text,
        version integer NOT NULL CHECK (version > 0),
        cast_at timestamptz NOT NULL,
        network text,
        signal text,
        PRIMARY KEY (tool_id, voter)
    )
    """,
    "CREATE INDEX ballots_held ON ballots (tool_id, voter) WHERE state = 'held'",
    "CREATE INDEX ballots_held_since ON ballots (cast_at) WHERE state = 'held'",
    "CREATE INDEX ballots_by_network ON ballots (network, tool_id, cast_at)",
    # What the worker folded last, of each voter: tallies never look at the table above.
    """
    CREATE TABLE folded (
        tool_id uuid NOT NULL,
        voter text NOT NULL,
        vote text NOT NULL,
        state text NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (tool_id, voter)
    )
    """,
    """
    CREATE TABLE tallies (
        tool_id uuid PRIMARY KEY,
        length bigint NOT NULL DEFAULT 0,
        head text NOT NULL,
        ship integer NOT NULL DEFAULT 0,
        skip integer NOT NULL DEFAULT 0,
        held integer NOT NULL DEFAULT 0,
        changed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE log (
        tool_id uuid NOT NULL,
        sequence bigint NOT NULL,
        time timestamptz NOT NULL,
        voter text NOT NULL,
        version integer NOT NULL,
        vote text NOT NULL,
        state text NOT NULL,
        reason text,
        previous text NOT NULL,
        hash text NOT NULL,
        PRIMARY KEY (tool_id, sequence)
    )
    """,
    # One salt a day for hashes of networks; yesterday's is deleted.
    "CREATE TABLE salts (day date PRIMARY KEY, salt bytea NOT NULL)",
    # Keys that no setting gives, drawn at the first start, and fingerprints of those that must never change.
    "CREATE TABLE keys (name text PRIMARY KEY, secret bytea, fingerprint text NOT NULL)",
)


def upgrade() -> None:
    tables.create_all(op)
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("keys", "salts", "log", "tallies", "folded", "ballots", "tools"):
        op.drop_table(table)
    tables.drop_all(op)
