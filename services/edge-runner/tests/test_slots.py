"""Which slot a request gets: long prompts are read once, and keep nobody waiting."""

from contextlib import ExitStack

import pytest

from edge_runner.domain.slots import LONG, SlotBook

DOSSIER = "All that is known of the tool. " * 200


def test_who_shares_a_long_prompt_follows_it_into_its_slot_even_while_it_is_read() -> None:
    book = SlotBook(5)
    with ExitStack() as all_of_them:
        slots = {all_of_them.enter_context(book.placed(f"{DOSSIER}Question {number}?")) for number in range(5)}
    assert len(slots) == 1


def test_a_short_prompt_is_below_a_long_one_so_that_it_is_read_first() -> None:
    book = SlotBook(4)
    with book.placed("x" * (LONG + 1)) as long, book.placed("y" * (LONG + 1)) as other, book.placed("Hi") as short:
        assert short < other < long
        with book.placed("Who are you?") as next_one:
            assert short < next_one < other


def test_long_prompts_that_share_nothing_do_not_wait_for_each_other() -> None:
    book = SlotBook(2)
    with book.placed("x" * 9000) as one, book.placed("y" * 9000) as other:
        assert one != other


def test_a_chat_comes_back_to_where_its_beginning_is() -> None:
    book = SlotBook(3)
    said = ""
    with book.placed("Tell me of the sea. " * 3) as first:
        pass
    with book.placed("Count the stars. " * 3):
        pass
    said = "Tell me of the sea. " * 3 + "And then?"
    with book.placed(said) as again:
        assert again == first


def test_frames_of_a_few_words_keep_their_slot_apart_from_others() -> None:
    book = SlotBook(2)
    with book.placed("About a tool: it is open source. This is a big") as frame:
        pass
    with book.placed("A very different thing entirely, which has nothing in common") as other:
        pass
    with book.placed("About a tool: it is costly. This is a big") as again:
        pass
    assert frame == again == other == 0  # one after the other: nobody is kept waiting in the lowest slot


def test_a_short_prompt_spares_a_long_one_that_somebody_may_come_back_to() -> None:
    book = SlotBook(2)
    with book.placed("x" * 9000), book.placed("y" * 9000) as low:
        assert low == 0
    with book.placed("z" * 100), book.placed(DOSSIER[:100]) as second:
        assert second == 1
    with book.placed("x" * 9000 + "more"):  # evicted by now: to the highest
        pass
    with book.placed("Hi, you") as short:
        assert short == 0


@pytest.mark.parametrize("requests", [3, 7])
def test_with_more_requests_than_slots_each_still_gets_one(requests: int) -> None:
    book = SlotBook(2)
    with ExitStack() as all_of_them:
        slots = [all_of_them.enter_context(book.placed(f"{number} " * 20)) for number in range(requests)]
    assert set(slots) == {0, 1}
    with book.placed("after") as free:
        assert free in (0, 1)
