"""Projects say where their data may go: to who keeps none of it, and in which regions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both; until now data might go everywhere."""
    op.add_column("projects", sa.Column("zdr", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("regions", ARRAY(sa.Text), nullable=False, server_default="{}"))
