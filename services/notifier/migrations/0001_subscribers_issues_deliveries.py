"""Subscribers, what changed, issues, deliveries."""

from alembic import op

from shipjury_delivery.tables import create_all, drop_all

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE subscribers (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'confirmed', 'unsubscribed', 'suppressed')),
    categories text[] NOT NULL DEFAULT '{}',
    tools text[] NOT NULL DEFAULT '{}',
    frequency text NOT NULL CHECK (frequency IN ('weekly', 'flips')),
    time_zone text NOT NULL,
    consent_text text NOT NULL,
    consented_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    left_at timestamptz,
    suppressed_reason text,
    confirmations_sent int NOT NULL DEFAULT 0,
    last_confirmation_at timestamptz
);
CREATE UNIQUE INDEX subscribers_email ON subscribers (lower(email));
CREATE INDEX subscribers_state ON subscribers (state);

CREATE TABLE tools (
    tool_id text PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    category text NOT NULL DEFAULT '',
    verdict text,
    score double precision,
    panel_share double precision,
    verdict_version bigint NOT NULL DEFAULT 0,
    ship int NOT NULL DEFAULT 0,
    skip int NOT NULL DEFAULT 0,
    tally_version bigint NOT NULL DEFAULT 0
);

CREATE TABLE issues (
    digest_id text PRIMARY KEY,
    number int NOT NULL UNIQUE,
    title text NOT NULL,
    period_from timestamptz NOT NULL,
    period_to timestamptz NOT NULL UNIQUE,
    items jsonb NOT NULL,
    level_note text NOT NULL,
    composed_at timestamptz NOT NULL,
    traceparent text
);
CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'an issue is immutable'; END $$;
CREATE TRIGGER issues_are_immutable BEFORE UPDATE ON issues FOR EACH ROW EXECUTE FUNCTION refuse_update();

CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('verdict', 'comparison')),
    tool_id text,
    slug text NOT NULL,
    name text NOT NULL,
    category text NOT NULL DEFAULT '',
    verdict text,
    score double precision,
    previous text,
    why text NOT NULL DEFAULT '',
    summary text NOT NULL,
    level text NOT NULL,
    issued_at timestamptz NOT NULL,
    traceparent text,
    digest_id text REFERENCES issues
);
CREATE INDEX changes_pending ON changes (id) WHERE digest_id IS NULL;

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('digest', 'confirmation', 'flip')),
    subscriber_id uuid NOT NULL REFERENCES subscribers ON DELETE CASCADE,
    digest_id text REFERENCES issues,
    change_id bigint REFERENCES changes,
    domain text NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'claimed', 'accepted', 'deferred', 'failed', 'uncertain', 'skipped')),
    attempts int NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    lease text,
    leased_until timestamptz,
    handed_at timestamptz,
    times_uncertain int NOT NULL DEFAULT 0,
    reason text,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    traceparent text
);
CREATE UNIQUE INDEX deliveries_digest ON deliveries (subscriber_id, digest_id) WHERE kind = 'digest';
CREATE UNIQUE INDEX deliveries_flip ON deliveries (subscriber_id, change_id) WHERE kind = 'flip';
CREATE INDEX deliveries_due ON deliveries (not_before, id) WHERE state IN ('pending', 'deferred');
CREATE INDEX deliveries_claimed ON deliveries (leased_until) WHERE state = 'claimed';
CREATE INDEX deliveries_handed ON deliveries (domain, handed_at);

CREATE TABLE switches (
    name text PRIMARY KEY,
    is_on boolean NOT NULL,
    changed_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    create_all(op)


def downgrade() -> None:
    drop_all(op)
    for table in ("switches", "deliveries", "changes", "issues", "tools", "subscribers"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_update")
