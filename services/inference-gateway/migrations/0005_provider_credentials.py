"""Credentials of providers, encrypted, for everybody or for a project."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and tell replicas of its changes."""
    op.create_table(
        "credentials",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False, comment="empty: everybody"),
        sa.Column("fields", ARRAY(sa.Text), nullable=False, comment="names, no values"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("provider", "project", name="credentials_once"),
    )
    op.execute(
        "CREATE TRIGGER credentials_changed AFTER INSERT OR UPDATE OR DELETE ON credentials "
        "FOR EACH STATEMENT EXECUTE FUNCTION gateway_changed()"
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("credentials")
