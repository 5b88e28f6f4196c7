"""The edge runner: serves quantized open weights on one node behind an OpenAI-compatible API.

Owns the models of its node. Publishes ``edge.nodes.v1`` and ``edge.benchmarks.v1``. Consumes ``edge.deployments.v1``.
"""
