"""The inference gateway: one OpenAI-compatible API over cloud providers and edge nodes.

Owns keys, projects, budgets, prices, routes and the usage ledger. Publishes ``inference.usage.v1``,
``inference.anomalies.v1`` and ``edge.deployments.v1``. Consumes ``edge.nodes.v1``.
"""
