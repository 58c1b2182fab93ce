"""What is to be read stands where one looks: nothing scrolls by itself, the prompt stays in sight, long texts are folded."""

from collections.abc import Callable

import pytest

from models.settings.batch import ChoiceTask
from tests.labeling.page.site import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
Page, expect = sync_api.Page, sync_api.expect

LAPTOP = {"viewport": {"width": 1280, "height": 850}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SHORT = {"My house is too hot.": [f"Open window number {number}." for number in range(4)]}
LONG_PROMPT = "I have a house with thick walls. " * 100
LONG = [f"Text {number}. " + "Open the windows at night. " * 120 for number in range(3)]
TAB_STOPS = 'document.querySelectorAll(\'#work [tabindex="0"], #work button:not([tabindex="-1"])\').length'


def start(page: Page) -> None:
    page.get_by_role("button", name="I have read this").click()
    expect(page.locator(".card").first).to_be_focused()


def is_inside(page: Page, selector: str) -> bool:
    """Whether the first that is found lies whole inside the window, above the buttons at its foot if it is none of them."""
    box, foot = page.locator(selector).first.bounding_box(), page.locator("#actions").bounding_box()
    low = page.viewport_size["height"] if selector.startswith("#submit") else foot["y"]
    return box["y"] >= 0 and box["y"] + box["height"] <= low


def test_four_short_ones_and_submit_fit_a_laptop(site: Site, visit: Callable[..., Page]):
    site.publish(SHORT)
    page = visit("Ada", **LAPTOP)
    start(page)
    assert page.evaluate("document.documentElement.scrollHeight") <= 850
    assert all(is_inside(page, one) for one in ("#prompt", ".card >> nth=0", ".card >> nth=3", "#submit"))
    for card in page.locator(".card").all():
        letter, first_rank = (card.locator(one).first.bounding_box() for one in (".letter", ".level-button"))
        middle = [box["y"] + box["height"] / 2 for box in (letter, first_rank)]
        assert middle[0] == pytest.approx(middle[1], abs=4), "the ranks stand at the letter's line"


@pytest.mark.parametrize("window", [LAPTOP, PHONE])
def test_nothing_scrolls_by_itself_and_the_prompt_stays_in_sight(site: Site, visit: Callable[..., Page], window):
    site.publish({LONG_PROMPT: LONG})
    page = visit("Ada", **window)
    start(page)
    assert page.evaluate("scrollY") == page.evaluate("document.querySelector('#prompt').scrollTop") == 0
    for number in (1, 2):
        page.keyboard.press("ArrowDown")
        expect(page.locator(".card").nth(number)).to_be_focused()
        prompt, card = (page.locator(one).bounding_box() for one in ("#prompt", f".card >> nth={number}"))
        assert page.evaluate("scrollY") > 0 and prompt["y"] >= -2
        assert card["y"] >= prompt["y"] + prompt["height"] - 1, "no card hides behind the prompt"


def test_a_long_text_is_opened_by_a_click_or_a_key(site: Site, visit: Callable[..., Page]):
    site.publish({"My house is too hot.": [*LONG[:2], "Move."]})
    page = visit("Ada", **LAPTOP)
    start(page)
    short = page.locator(".card", has_text="Move.")
    expect(short.get_by_role("button", name="Whole text")).to_be_hidden()
    one, other = page.locator(".card", has_text="Text 0."), page.locator(".card", has_text="Text 1.")

    def height(card) -> float:
        return card.locator(".text").bounding_box()["height"]

    expect(one.get_by_role("button", name="Whole text")).to_be_visible()
    assert height(one) == height(other) == 240
    one.get_by_role("button", name="Whole text").click()
    assert height(one) > 600 and height(other) == 240
    expect(one.get_by_role("button", name="Whole text")).to_have_attribute("aria-expanded", "true")
    one.focus()
    page.keyboard.press("o")
    assert height(one) == 240
    page.keyboard.press("Shift+O")
    assert height(one) > 600 and height(other) > 600


def test_completions_stay_side_by_side_while_they_are_ranked(site: Site, visit: Callable[..., Page]):
    site.publish({"My house is too hot.": LONG, "It is dark.": [f"Lamp {number}." for number in range(5)]})
    page = visit("Ada", **LAPTOP)
    start(page)
    switch = page.get_by_role("switch", name="Side by side")
    switch.click()
    ids = [one.get_attribute("data-id") for one in page.locator(".card").all()]
    tops = {one.bounding_box()["y"] for one in page.locator(".card").all()}
    assert len(tops) == 1
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card").nth(1)).to_be_focused()
    page.keyboard.press("1")
    expect(page.locator(".card").first).to_be_focused()  # the next one that has no rank
    page.keyboard.press("2")
    page.locator(".card").nth(2).get_by_role("button", name="Rank 2").click()
    assert [one.get_attribute("data-id") for one in page.locator(".card").all()] == ids
    page.set_viewport_size({"width": 800, "height": 850})  # too narrow: the cards stand at their ranks
    expect(page.locator("li.level .card")).to_have_count(3)
    expect(switch).to_be_hidden()
    page.set_viewport_size(LAPTOP["viewport"])
    page.keyboard.press("Control+Enter")
    expect(page.locator(".card")).to_have_count(5)  # five are too many
    expect(switch).to_be_hidden()
    assert site.judgements("Ada")[0].levels == [[ids[1]], sorted([ids[0], ids[2]])]


def test_all_are_unusable_by_one_button_and_one_undo(site: Site, visit: Callable[..., Page]):
    site.publish(SHORT)
    page = visit("Ada", **LAPTOP)
    start(page)
    page.keyboard.press("2")
    page.get_by_role("button", name="All unusable").click()
    page.get_by_role("dialog", name="Why are all of them unusable?").get_by_role("button", name="harmful").click()
    expect(page.locator(".unusable .card")).to_have_count(4)
    page.keyboard.press("u")
    expect(page.locator("li.level[data-level='2'] .card")).to_have_count(1)
    page.keyboard.press("Shift+F")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Saved")
    (said,) = site.judgements("Ada")
    assert (said.levels, set(said.unusable.values()), len(said.unusable)) == ([], {"wrong"}, 4)


def test_both_of_two_are_unusable_by_one_button(site: Site, visit: Callable[..., Page]):
    site.publish({"It is dark.": ["Wait.", "So what?"]}, ChoiceTask())
    page = visit("Ada", **LAPTOP)
    start(page)
    page.get_by_role("button", name="Both unusable").click()
    page.get_by_role("dialog").get_by_role("button", name="off topic").click()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Saved")
    assert list(site.judgements("Ada")[0].unusable.values()) == ["off topic"] * 2


def test_tab_stops_at_one_card_and_arrows_go_to_the_others_also_without_single_keys(
    site: Site, visit: Callable[..., Page]
):
    site.publish(SHORT)
    page = visit("Ada", **LAPTOP)
    start(page)
    page.get_by_role("switch", name="Key shortcuts").click()
    page.locator(".card").first.focus()
    # "All unusable", the card in hand, its first rank, moving up and down, a tie, unusable, usable again, the whole text
    assert page.evaluate(TAB_STOPS) == 9
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Rank 1: completion A")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Rank 2: completion A")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Mark unusable: completion A")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Rank 2: completion A")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card").nth(1)).to_be_focused()
    assert page.evaluate(TAB_STOPS) == 9 and page.locator(".card[tabindex='0']").count() == 1


CODE = "# Lists\n\n```python\nbackwards = values[::-1]  # " + "very " * 80 + "long\n```\n\n- `reversed`"
HOSTILE = (
    "[a](https://a.example/) ![b](https://a.example/spy.png) <img src=x onerror=alert(1)> [c](javascript:alert(2))\n\n"
    "<svg onload=alert(3)></svg><script>alert(4)</script>\n\n| x |\n|--:|\n| 1 |\n\n```html\n</pre><script>alert(5)</script>\n```"
)
ARABIC = "\u0627\u0641\u062a\u062d \u0627\u0644\u0646\u0648\u0627\u0641\u0630."


def test_texts_are_formatted_and_the_batch_says_what_is_shown_first(site: Site, visit: Callable[..., Page]):
    for title, first in (("One", "formatted"), ("Two", "plain")):
        batch = site.publish({f"How, {title}?": [CODE, ARABIC]}, title=title, shown_first=first)
        page = visit("Ada" if title == "One" else "Bo", f"/batches/{batch}", **LAPTOP)
        start(page)
        code = page.locator(".card", has_text="Lists").locator(".text")
        switch = page.get_by_role("switch", name="Plain text")
        if first == "plain":
            expect(switch).to_be_checked()
            assert code.text_content() == CODE
            page.keyboard.press("p")
        expect(switch).not_to_be_checked()
        expect(code.locator("h3")).to_have_text("Lists")
        block = code.locator("pre")
        assert block.evaluate(
            "one => [one.scrollWidth > one.clientWidth, getComputedStyle(one.firstChild).fontFamily]"
        ) == [
            True,
            'ui-monospace, "DejaVu Sans Mono", monospace',
        ]
        assert page.locator(".card p", has_text=ARABIC).evaluate("one => getComputedStyle(one).direction") == "rtl"
        page.keyboard.press("p")
        assert code.text_content() == CODE
        page.reload()
        expect(switch).to_be_checked()  # this browser remembers it


def test_nothing_that_a_model_wrote_runs_loads_or_leads_anywhere(site: Site, visit: Callable[..., Page]):
    site.publish({HOSTILE: [HOSTILE, f"{HOSTILE}!"]})
    page = visit("Ada", **LAPTOP)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    start(page)
    expect(page.locator(".card td").first).to_have_text("1")
    assert page.locator("#judging :is(a, img, script, svg, iframe, [style], [onerror], [href], [src])").count() == 0
    assert [url for url in asked if not url.startswith(site.url)] == []
    expect(page.locator(".card .picture").first).to_have_text("Picture: b")
