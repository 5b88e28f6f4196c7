"""Bookmarks: without an account, from this site only, and nobody else's."""

from .conftest import Running


async def test_a_bookmark_is_kept_and_taken_off(running: Running) -> None:
    tool_id = running.ids["vllm"]
    assert (await running.readers.put(f"/bookmarks/{tool_id}")).status_code == 204
    assert (await running.readers.put(f"/bookmarks/{tool_id}")).status_code == 204
    kept = (await running.readers.get("/bookmarks.json")).json()["tools"]
    assert kept == [{"tool_id": tool_id, "slug": "vllm", "name": "vLLM"}]
    assert "/tools/vllm" in await running.text("/bookmarks")
    assert (await running.readers.delete(f"/bookmarks/{tool_id}")).status_code == 204
    assert (await running.readers.get("/bookmarks.json")).json() == {"tools": []}


async def test_plain_forms_do_the_same(running: Running) -> None:
    tool_id = running.ids["vllm"]
    kept = await running.readers.post(f"/bookmarks/{tool_id}", data={"keep": "yes"})
    assert (kept.status_code, kept.headers["location"]) == (303, "/bookmarks")
    assert "Take off vLLM" in await running.text("/bookmarks")
    assert (await running.readers.post("/bookmarks", data={"drop": tool_id})).status_code == 303
    assert "None yet" in await running.text("/bookmarks")


async def test_the_cookie_cannot_be_read_by_scripts_or_sent_from_elsewhere(running: Running) -> None:
    answer = await running.readers.put(f"/bookmarks/{running.ids['vllm']}")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_another_sites_page_changes_nothing(running: Running) -> None:
    address = f"/bookmarks/{running.ids['vllm']}"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert (await running.readers.post(address, data={"keep": "yes"}, headers=headers)).status_code == 403
    assert (await running.readers.get("/bookmarks.json")).json() == {"tools": []}


async def test_two_readers_have_two_lists(running: Running) -> None:
    await running.readers.put(f"/bookmarks/{running.ids['vllm']}")
    running.readers.cookies.clear()
    assert (await running.readers.get("/bookmarks.json")).json() == {"tools": []}


async def test_an_unknown_tool_is_not_kept(running: Running) -> None:
    await running.readers.put("/bookmarks/00000000-0000-0000-0000-000000000000")
    assert (await running.readers.get("/bookmarks.json")).json() == {"tools": []}
    assert (await running.readers.put("/bookmarks/nonsense")).status_code == 422


async def test_personal_answers_are_never_cached(running: Running) -> None:
    for path in ("/bookmarks", "/bookmarks.json"):
        assert (await running.readers.get(path)).headers["cache-control"] == "private, no-store"


async def test_a_form_that_is_none_of_ours_is_refused_as_a_page(running: Running) -> None:
    for form, status in (("x" * 100_000, 413), ("&".join(f"a{number}=1" for number in range(101)), 422)):
        for path in ("/bookmarks", f"/bookmarks/{running.ids['vllm']}"):
            answer = await running.readers.post(path, content=form)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
            assert "This cannot be done" in answer.text
