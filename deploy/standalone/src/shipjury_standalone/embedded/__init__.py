"""The embedded parts that come as wheels: a real PostgreSQL and a real Redis, run by us, kept in one folder."""
