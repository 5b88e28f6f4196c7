"""The panel: five AI reviewers judge a tool from its evidence.

Owns reviews, verdicts, comparisons, exams, run manifests. Publishes ``verdicts.issued.v1``,
``comparisons.issued.v1``, ``reviewers.rated.v1``. Consumes ``tools.published.v1``.
"""
