"""People rank in a browser: by mouse, by keys alone, by touch."""

from collections.abc import Callable

import pytest

from tests.labeling.page.gestures import drag_card
from tests.labeling.page.site import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
Page, expect = sync_api.Page, sync_api.expect

BEST, GOOD, ALSO, BAD = "Open the windows at night.", "Switch on the fan.", "Drink cold water.", "The house the house."
HOT = {"My house is too hot.": [BEST, GOOD, ALSO, BAD]}
TWO = {"My house is too hot.": ["Open the windows.", "Close them."], "It is dark.": ["Wait.", "Switch on the light."]}


def start(page: Page) -> None:
    """Reads the instructions and waits for the first task."""
    page.get_by_role("button", name="I have read this").click()
    expect(page.locator(".card").first).to_be_visible()


def card(page: Page, text: str):
    return page.locator(".card", has_text=text)


def name_of(page: Page, text: str) -> str:
    return card(page, text).get_attribute("data-id")


def level(page: Page, number: int):
    return page.locator(f"li.level[data-level='{number}']")


def drag(page: Page, text: str, target, part: float = 0.5) -> None:
    drag_card(page, card(page, text), target, part)


def texts_on(page: Page, number: int) -> list[str]:
    return sorted(level(page, number).locator(".text").all_text_contents())


def press_for_each(page: Page, keys: dict[str, str]) -> None:
    """For each completion, in the order shown, presses the keys that belong to its text."""
    for text in page.locator(".tray .text").all_text_contents():
        for key in keys[text].split():
            page.keyboard.press(key)


def submitted(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text("Saved")


def test_two_people_rank_one_by_mouse_and_one_by_keys_alone(site: Site, visit: Callable[..., Page]):
    site.publish(HOT)
    ada, bo = visit("Ada"), visit("Bo")
    start(ada)
    ids = {text: name_of(ada, text) for text in HOT["My house is too hot."]}
    expect(ada.locator("#submit")).to_be_disabled()
    drag(ada, GOOD, level(ada, 1))
    drag(ada, BEST, level(ada, 1), part=0.02)  # above it
    assert (texts_on(ada, 1), texts_on(ada, 2)) == ([BEST], [GOOD])
    drag(ada, ALSO, level(ada, 2))  # onto it: a tie
    assert texts_on(ada, 2) == sorted([GOOD, ALSO])
    expect(ada.locator("#submit")).to_be_disabled()
    card(ada, BAD).get_by_role("button", name="Mark unusable").click()
    ada.get_by_role("dialog").get_by_role("button", name="unreadable").click()
    expect(card(ada, BAD).locator(".reason")).to_have_text("unreadable")
    ada.get_by_role("button", name="Submit").click()
    submitted(ada)

    for _ in range(4):  # past the skip link, the start and signing out
        bo.keyboard.press("Tab")
    bo.keyboard.press("Enter")  # I have read this
    expect(bo.locator(".card").first).to_be_focused()
    press_for_each(bo, {BEST: "2", GOOD: "1", ALSO: "2", BAD: "f 1"})
    bo.keyboard.press("Enter")
    submitted(bo)
    expect(bo.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()

    (by_ada,), (by_bo,) = site.judgements("Ada"), site.judgements("Bo")
    assert by_ada.levels == [[ids[BEST]], sorted([ids[GOOD], ids[ALSO]])]
    assert by_bo.levels == [[ids[GOOD]], sorted([ids[BEST], ids[ALSO]])]
    assert by_ada.unusable == {ids[BAD]: "unreadable"}
    assert by_bo.unusable == {ids[BAD]: "off topic"}


def test_cards_are_moved_tied_and_undone_by_keys(site: Site, visit: Callable[..., Page]):
    site.publish({"My house is too hot.": [BEST, GOOD, ALSO]})
    page = visit("Ada")
    start(page)
    press_for_each(page, {BEST: "1", GOOD: "2", ALSO: "3"})
    letters = {text: card(page, text).locator(".letter").text_content() for text in (BEST, GOOD, ALSO)}
    card(page, ALSO).focus()
    page.keyboard.press("ArrowUp")
    expect(card(page, GOOD)).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    assert [texts_on(page, n) for n in (1, 2, 3)] == [[GOOD], [BEST], [ALSO]]
    expect(card(page, GOOD)).to_be_focused()
    page.keyboard.press("Shift+ArrowDown")
    assert [texts_on(page, n) for n in (1, 2, 3)] == [[BEST], [GOOD], [ALSO]]
    page.keyboard.press("t")
    assert texts_on(page, 1) == sorted([BEST, GOOD])
    expect(page.locator("#announcer")).to_contain_text(
        f"Completion {letters[GOOD]}, rank 1 of 3, tied with {letters[BEST]}"
    )
    page.keyboard.press("u")
    page.keyboard.press("Control+z")
    assert [texts_on(page, n) for n in (1, 2, 3)] == [[GOOD], [BEST], [ALSO]]
    page.keyboard.press("Control+Enter")
    submitted(page)
    assert [len(one) for one in site.judgements("Ada")[0].levels] == [1, 1, 1]


def test_a_reason_chosen_by_its_digit_does_nothing_else(site: Site, visit: Callable[..., Page]):
    site.publish(TWO)
    page = visit("Ada")
    start(page)
    page.keyboard.press("f")
    page.keyboard.press("1")
    assert page.locator(".level .card").count() == 0
    page.keyboard.press("u")
    assert page.locator(".tray .card").count() == 2, "one step, undone by one"
    page.keyboard.press("f")
    page.keyboard.press("Escape")
    assert page.locator(".tray .card").count() == 2


def test_the_order_shown_is_not_saved_by_itself(site: Site, visit: Callable[..., Page]):
    site.publish(TWO)
    page = visit("Ada")
    start(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text("2 are not ranked yet")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 is not ranked yet")
    assert site.judgements("Ada") == []


def test_what_was_submitted_last_is_opened_filled_in_and_counts_until_the_next_answer(
    site: Site, visit: Callable[..., Page]
):
    site.publish(TWO)
    page = visit("Ada")
    start(page)
    press_for_each(page, {"Open the windows.": "1", "Close them.": "f 3"})
    page.keyboard.press("n")
    page.keyboard.type("Burglars? [?]")  # keys mean letters here
    page.keyboard.press("Control+Enter")
    submitted(page)
    expect(page.locator("#prompt")).to_have_text("It is dark.")
    expect(page.locator("#progress-text")).to_have_text("1 done, 1 left")
    page.keyboard.press("u")
    expect(page.locator("#prompt")).to_have_text("My house is too hot.")
    expect(page.get_by_text("That answer counts until you submit another")).to_be_visible()
    assert [one.record_id is None for one in site.judgements("Ada")] == [False]
    page.keyboard.press("s")  # no key on the way back costs the answer
    expect(page.get_by_role("status")).to_have_text("Kept as it was")
    expect(page.locator("#prompt")).to_have_text("It is dark.")
    assert [one.record_id is None for one in site.judgements("Ada")] == [False]
    page.keyboard.press("u")
    expect(page.locator("#prompt")).to_have_text("My house is too hot.")
    assert texts_on(page, 1) == ["Open the windows."]
    expect(card(page, "Close them.").locator(".reason")).to_have_text("harmful")
    expect(page.get_by_label("Note")).to_have_value("Burglars? [?]")
    card(page, "Close them.").focus()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    submitted(page)
    expect(page.locator("#prompt")).to_have_text("It is dark.")
    assert [(one.revision, one.unusable) for one in site.judgements("Ada")][1:] == [(2, {})]
    page.keyboard.press("u")
    expect(page.locator("#skip")).to_be_hidden()
    page.get_by_role("button", name="Take it back and skip").click()
    expect(page.get_by_role("status")).to_have_text("Taken back")
    assert [one.record_id is None for one in site.judgements("Ada")] == [False, False, True]
    assert site.states("Ada") == ["skipped", "open"]


def test_skipping_and_the_instructions_by_keys(site: Site, visit: Callable[..., Page]):
    site.publish(TWO)
    page = visit("Ada")
    start(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Instructions")).to_contain_text("Put first what helps most.")
    page.keyboard.press("s")  # means nothing there
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Instructions")).to_be_hidden()
    expect(page.get_by_role("status")).to_be_empty()
    page.keyboard.press("s")
    expect(page.locator("#prompt")).to_have_text("It is dark.")
    expect(page.get_by_role("status")).to_have_text("Skipped")
    assert site.states("Ada") == ["skipped", "open"]


def test_newer_instructions_are_shown_before_the_next_task(site: Site, visit: Callable[..., Page]):
    site.publish(TWO)
    page = visit("Ada")
    start(page)
    site.publish(TWO, instructions="**Shortest** first.")
    press_for_each(page, {"Open the windows.": "1", "Close them.": "2"})
    page.keyboard.press("Enter")
    expect(page.get_by_text("Shortest first.")).to_be_visible()
    start(page)
    expect(page.locator("#prompt")).to_have_text("It is dark.")


def test_a_draft_survives_a_reload(site: Site, visit: Callable[..., Page]):
    site.publish(HOT)
    page = visit("Ada")
    start(page)
    press_for_each(page, {BEST: "1", GOOD: "3", ALSO: "3", BAD: "f 6"})
    card(page, BEST).focus()
    page.keyboard.press("n")
    page.keyboard.type("Nearly.")
    page.reload()
    expect(page.locator(".card").first).to_be_visible()
    assert [texts_on(page, n) for n in (1, 2, 3)] == [[BEST], [], sorted([GOOD, ALSO])]
    expect(card(page, BAD).locator(".reason")).to_have_text("other")
    expect(page.get_by_label("Note")).to_have_value("Nearly.")
    page.keyboard.press("Enter")
    submitted(page)
    assert [len(one) for one in site.judgements("Ada")[0].levels] == [1, 2], "an empty level between does not count"
    assert page.evaluate("sessionStorage.length") == 0


def test_text_from_a_model_is_shown_as_text(site: Site, visit: Callable[..., Page]):
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>\n  {{ 7*7 }} &amp;"
    site.publish({attack: [attack, "Fine."]}, title=attack, instructions=attack)
    page = visit("Ada <b>bold</b>")
    start(page)
    assert page.locator("#task img, #task script").count() == 0
    page.get_by_role("switch", name="Plain text").click()
    assert page.locator("#prompt").text_content() == attack
    assert page.locator(".card .text", has_text="alert").text_content() == attack
    expect(page.locator(".who")).to_have_text("Ada <b>bold</b>")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Instructions")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("#task img, #task script, dialog img, .who b").count() == 0
