"""What Alembic runs: the revisions of one service, on the connection that ``migrations.upgrade`` opened."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
