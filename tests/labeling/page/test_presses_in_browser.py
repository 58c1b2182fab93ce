"""Pressed twice, answered late or not at all: undo opens what was shown as last, once. And the page without its single keys."""

from collections.abc import Callable

import pytest

from models.settings.batch import ThumbsTask
from tests.labeling.page.site import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
Page, Route, expect = sync_api.Page, sync_api.Route, sync_api.expect

PROMPTS = ("It is dark.", "It is cold.", "It is late.")
TWO_EACH = {prompt: [f"{prompt} Wait.", f"{prompt} Do something."] for prompt in PROMPTS}
FOCUSED = "document.activeElement.textContent.trim() || document.activeElement.id"


def start(page: Page) -> None:
    page.get_by_role("button", name="I have read this").click()
    shows(page, PROMPTS[0])


def shows(page: Page, prompt: str) -> None:
    expect(page.locator("#prompt")).to_have_text(prompt)
    expect(page.get_by_role("button", name="Skip")).to_be_enabled()


def ranks_one_and_skips_one(page: Page) -> None:
    for key in "1", "2", "Enter":
        page.keyboard.press(key)
    shows(page, PROMPTS[1])
    page.keyboard.press("s")
    shows(page, PROMPTS[2])


def paths_posted(page: Page) -> list[str]:
    """The last words of the paths that are posted to from now on."""
    posted = []
    page.on("request", lambda request: request.method == "POST" and posted.append(request.url.rpartition("/")[2]))
    return posted


def lose_the_first_answer(page: Page, path: str) -> list[dict]:
    """The server does what the first request says, but the page never hears of it. Gives what is posted, as it comes."""
    posted = []

    def on_route(route: Route) -> None:
        posted.append(route.request.post_data_json)
        if len(posted) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(path, on_route)
    return posted


def test_undo_pressed_again_after_a_lost_answer_leaves_what_was_said_before(site: Site, visit: Callable[..., Page]):
    site.publish(TWO_EACH)
    page = visit("Ada")
    start(page)
    ranks_one_and_skips_one(page)
    posted = lose_the_first_answer(page, "**/reopen")
    page.keyboard.press("u")
    expect(page.get_by_role("alert")).to_have_text("Not undone. The server does not answer.")
    page.get_by_role("button", name="Undo").click()
    shows(page, PROMPTS[1])
    assert posted[0] == posted[1]
    assert [one.record_id is None for one in site.judgements("Ada")] == [False], "the ranking stands"
    assert site.states("Ada") == ["done", "open", "open"]


def test_a_double_press_of_undo_opens_one(site: Site, visit: Callable[..., Page]):
    site.publish(TWO_EACH)
    page = visit("Ada")
    page.clock.install()
    start(page)
    ranks_one_and_skips_one(page)
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))  # whatever is pressed from now on is pressed at once
    posted = paths_posted(page)
    page.keyboard.press("u")
    shows(page, PROMPTS[1])
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert page.locator("#skip").is_enabled() and posted == ["reopen"]
    assert site.states("Ada") == ["done", "open", "open"]
    page.clock.run_for(1000)
    page.keyboard.press("u")
    shows(page, PROMPTS[0])
    assert site.states("Ada") == ["done", "open", "open"]


def test_a_double_press_answers_one_task(site: Site, visit: Callable[..., Page]):
    site.publish({prompt: ["Wait."] for prompt in PROMPTS}, ThumbsTask())
    page = visit("Ada")
    page.clock.install()
    start(page)
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    posted = paths_posted(page)
    page.keyboard.press("ArrowUp")
    shows(page, PROMPTS[1])
    page.keyboard.press("ArrowUp")
    assert page.locator("#skip").is_enabled() and posted == ["judgement"]
    up = page.get_by_role("button", name="Thumbs up").bounding_box()
    page.mouse.click(up["x"] + 9, up["y"] + 9)
    shows(page, PROMPTS[2])
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    assert page.locator("#skip").is_enabled() and posted == ["judgement"] * 2
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()
    assert [one.wanted for one in site.judgements("Ada")] == [True, True, False]


def test_a_skip_whose_receipt_was_lost_is_known_again(site: Site, visit: Callable[..., Page]):
    site.publish(TWO_EACH)
    page = visit("Ada")
    start(page)
    posted = lose_the_first_answer(page, "**/skip")
    page.keyboard.press("s")
    shows(page, PROMPTS[1])
    assert len(posted) == 2 and posted[0] == posted[1]
    assert site.states("Ada") == ["skipped", "open"]


def test_a_task_keeps_its_key_until_the_server_has_confirmed_it(site: Site, visit: Callable[..., Page]):
    site.publish({PROMPTS[0]: TWO_EACH[PROMPTS[0]]})
    page = visit("Ada")
    start(page)
    keys = []

    def refuse_twice(route: Route) -> None:
        keys.append(route.request.post_data_json["submission"])
        route.fulfill(status=422, json={"error": "not today"}) if len(keys) < 3 else route.continue_()

    page.route("**/judgement", refuse_twice)
    page.keyboard.press("1")
    page.keyboard.press("2")
    for number in range(1, 3):
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("alert")).to_have_text("Not saved. not today")
        expect(page.locator("#submit")).to_be_enabled()
        assert len(keys) == number
        page.reload()
        expect(page.locator("#submit")).to_be_enabled()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status")).to_have_text("Saved")
    page.keyboard.press("u")
    shows(page, PROMPTS[0])
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()
    assert keys[0] == keys[1] == keys[2] != keys[3], "opened again, it is another answer"
    assert [one.revision for one in site.judgements("Ada")] == [1, 2]


def test_without_single_keys_all_is_done_by_buttons_and_this_browser_remembers_it(
    site: Site, visit: Callable[..., Page]
):
    site.publish(TWO_EACH)
    page = visit("Ada")
    start(page)
    switch = page.get_by_role("switch", name="Key shortcuts")
    expect(switch).to_be_checked()
    switch.focus()
    page.keyboard.press("Space")
    expect(switch).not_to_be_checked()
    page.reload()
    shows(page, PROMPTS[0])
    expect(switch).not_to_be_checked()
    expect(page.locator(".hints kbd", has_text="Ctrl").first).to_be_visible()
    expect(page.get_by_role("button", name="Skip").locator("kbd")).to_be_hidden()
    page.locator(".card").first.focus()
    for key in ("1", "2", "t", "f", "s", "n", "u", "?", "Enter", "ArrowDown", "Alt+s"):
        page.keyboard.press(key)
    assert page.locator(".level .card").count() == 0 and page.locator("dialog[open]").count() == 0
    expect(page.get_by_label("Note")).to_be_hidden()
    assert site.states("Ada") == ["open"]

    reached = []  # by Tab alone, from the switch on
    switch.focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED).split()[0])
        if reached[-1] == "1":
            break
    assert reached[0] == "Instructions" and "prompt" not in reached
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")  # the first card to the second rank, which moves the focus to the other one
    page.locator(".tray .card").get_by_role("button", name="Mark unusable").press("Enter")
    page.keyboard.press("1")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="unreadable").press("Enter")
    expect(page.locator("#announcer")).to_contain_text("submit with Ctrl and Enter")
    page.keyboard.press("Control+Enter")
    shows(page, PROMPTS[1])
    assert site.states("Ada") == ["done", "open"]
    page.get_by_role("button", name="Skip").press("Enter")
    shows(page, PROMPTS[2])
    page.keyboard.press("Control+z")
    shows(page, PROMPTS[1])
    switch.click()
    page.locator(".card").first.focus()
    page.keyboard.press("1")
    assert page.locator(".level .card").count() == 1
