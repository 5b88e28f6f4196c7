"""Standalone: the whole product on embedded parts, in one process with four kinds of children."""
