"""What the gateway keeps: accounts, nodes and the ledger in Postgres, admission in Redis, providers in files."""
