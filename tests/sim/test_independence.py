"""The simulator is the tests' truth: what it would bill must not come from the code that it is held against."""

import ast
from pathlib import Path


def test_the_simulator_imports_nothing_of_the_product() -> None:
    imported = set()
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").partition(".")[0])
    assert not {name for name in imported if name == "inference_gateway" or name.startswith("shipjury_")}
    assert "aiohttp" in imported, "it looked at the files"
