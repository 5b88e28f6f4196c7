"""The fleet: what each edge node should hold, what it told last, what it measured."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the desired sets and the benchmarks, and keep a node's whole beat."""
    op.add_column("edge_nodes", sa.Column("beat", JSONB, comment="the newest edge.nodes.v1, whole"))
    op.add_column(
        "edge_nodes",
        sa.Column("cordoned", sa.Boolean, nullable=False, server_default=sa.false(), comment="as the node tells"),
    )
    op.create_table(
        "edge_deployments",
        sa.Column("node_id", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("models", JSONB, nullable=False, comment="the whole desired set"),
        sa.Column("cordoned", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("drained", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("deployed_at", _moment, nullable=False),
    )
    op.create_table(
        "edge_benchmarks",
        sa.Column("benchmark_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("node_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("told", JSONB, nullable=False, comment="the newest edge.benchmarks.v1, whole"),
    )
    op.execute(
        "CREATE TRIGGER edge_deployments_changed AFTER INSERT OR UPDATE OR DELETE ON edge_deployments "
        "FOR EACH STATEMENT EXECUTE FUNCTION gateway_changed()"
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("edge_benchmarks")
    op.drop_table("edge_deployments")
    op.drop_column("edge_nodes", "cordoned")
    op.drop_column("edge_nodes", "beat")
