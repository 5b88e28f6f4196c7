"""The catalog: tools, their versions and evidence, and the site.

Owns tools, versions, aliases, evidence, bookmarks. Publishes ``tools.published.v1``. Consumes verdicts, comparisons,
tallies, reviewers, digests and benchmarks.
"""
