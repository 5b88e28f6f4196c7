"""All SQL of the panel, one module a table family. Functions work in the caller's transaction."""
