"""Votes: the community's ship or skip, one per voter and tool, that anyone can recount.

Owns votes, logs and tallies. Publishes ``votes.cast.v1`` and ``tallies.changed.v1``. Consumes ``tools.published.v1``
and its own ``votes.cast.v1``.
"""
