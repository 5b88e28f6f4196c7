"""The tool whose journey the tests walk, with enough facts for a verdict."""

_TOOL = """\
slug: quillbase
name: Quillbase
vendor: Quillbase BV
category: RAG and vector databases
tagline: A vector database that runs on a laptop
pricing:
  summary: Free under Apache-2.0
  model: free
best_for: Small teams that run their own search
facts:
"""
_FACTS = (
    "The source is under Apache-2.0, including the clustering code.",
    "It runs fully on a laptop with no network connection.",
    "Backups can be restored with one documented command.",
    "The quick-start guide gets a new user to a first query in under ten minutes.",
    "Releases have come out every four to six weeks for three years.",
    "A third-party audit in 2025 found no high-severity issues.",
)

TOOL_FILE = _TOOL + "".join(
    f"  - id: quillbase-{number:02}\n    statement: {statement}\n    kind: capability\n"
    f"    source: https://example.org/quillbase\n    as_of: 2026-11-01\n"
    for number, statement in enumerate(_FACTS, 1)
)
"""What an operator would write, as YAML."""
