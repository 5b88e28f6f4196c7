"""The notifier: the weekly digest, and every other way in which somebody outside hears of a verdict.

Owns subscribers, issues, deliveries, webhooks. Publishes ``digests.sent.v1``. Consumes verdicts, comparisons, tallies
and anomalies.
"""
