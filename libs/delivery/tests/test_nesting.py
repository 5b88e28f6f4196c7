"""How deep JSON may be nested."""

import orjson
import pytest

from shipjury_delivery.nesting import MOST_LEVELS, too_deep


@pytest.mark.parametrize(
    ("levels", "refused"), [(0, False), (MOST_LEVELS, False), (MOST_LEVELS + 1, True), (1000, True)]
)
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', "}"), ('[0,"[[",[],{},', "]")])
def test_levels_are_counted_and_not_brackets(levels: int, refused: bool, before: str, after: str) -> None:
    # What is innermost is a level of its own where it stands beside others.
    inner = levels - 1 if before.startswith("[0") and levels else levels
    assert too_deep(orjson.loads(before * inner + "1" + after * inner)) is refused


def test_what_is_not_too_deep_can_be_written_again() -> None:
    value = orjson.loads("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    assert not too_deep(value)
    assert orjson.dumps({"project": [value]})
