"""The ledger tells whether the same was asked before."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the hash; what was asked until now has none, and is like nothing."""
    op.add_column("ledger", sa.Column("prompt_hash", sa.Text, comment="of project and prompt, of first attempts"))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("ledger", "prompt_hash")
