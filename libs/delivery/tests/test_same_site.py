"""Which pages may make a browser change something."""

import pytest

from shipjury_delivery.same_site import from_another_site


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://here.test", "host": "here.test"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://here.test", "host": "inner:8000"}, False),
        ({"origin": "http://here.test", "host": "here.test"}, False),
        ({"origin": "http://HERE.test:8000", "host": "here.test:8000"}, False),
        ({"origin": "http://here.test:9000", "host": "here.test:8000"}, True),
        ({"origin": "http://evil.test", "host": "here.test"}, True),
        ({"origin": "null", "host": "here.test"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
    ],
)
def test_a_page_of_another_site_is_told_by_what_its_browser_says(headers: dict[str, str], refused: bool) -> None:
    assert from_another_site(headers) is refused
