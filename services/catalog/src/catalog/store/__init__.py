"""All SQL of the catalog. A change, its outbox row and the site's new revision are one transaction.

``tools`` publishes and finds tools; ``panel`` keeps what the panel says (verdicts, comparisons, reviewers);
``community`` keeps tallies, digests and benchmarks; ``bookmarks`` is each reader's list; ``site`` is the revision
that rendered pages are cached by.
"""
