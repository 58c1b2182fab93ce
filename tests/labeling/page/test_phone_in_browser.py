"""The page on a phone: nothing sticks out, fingers hit the buttons, and dragging does not fight with scrolling."""

from collections.abc import Callable

import pytest

from models.settings.batch import ChoiceTask, ThumbsTask
from tests.labeling.page.site import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CDPSession, Page, expect = sync_api.CDPSession, sync_api.Page, sync_api.expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LONG = "Open the windows at night. " * 12
UNBROKEN = "https://example.org/" + "a" * 200
NINE = [f"Advice number {number}." for number in range(7)] + [LONG, UNBROKEN]
SMALL_CONTROLS = """() => [...document.querySelectorAll("button, summary, input, textarea, .handle, a.button")]
    .map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.width < 44 || box.height < 44) && box.right > 0)
    .map(([text, box]) => `${text} ${box.width} x ${box.height}`)"""
WIDTH = "document.documentElement.scrollWidth"

STANDS_STILL = "() => new Promise(done => { const y = scrollY; setTimeout(() => done(scrollY === y), 150) })"


def fits(page: Page) -> None:
    assert page.evaluate(WIDTH) <= 390
    assert page.evaluate(SMALL_CONTROLS) == []


def start(page: Page) -> None:
    page.get_by_role("button", name="I have read this").tap()
    expect(page.locator(".card").first).to_be_visible()


def touch(session: CDPSession, kind: str, x: float, y: float) -> None:
    points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def finger_along(page: Page, start_at: tuple[float, float], end_at: tuple[float, float]) -> CDPSession:
    """One finger down and along a line; it stays on the glass."""
    session = page.context.new_cdp_session(page)
    touch(session, "touchStart", *start_at)
    for step in range(1, 11):
        along = [start + (end - start) * step / 10 for start, end in zip(start_at, end_at, strict=True)]
        touch(session, "touchMove", *along)
    return session


def centre(box: dict[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("task", [None, ChoiceTask(), ThumbsTask()])
def test_nothing_sticks_out_and_every_control_can_be_hit(site: Site, visit: Callable[..., Page], task):
    site.publish(
        {UNBROKEN: NINE}, task, title=UNBROKEN, instructions=f"{UNBROKEN}\n\n| a | b |\n|---|---|\n| {UNBROKEN} | 2 |"
    )
    page = visit("A name that is quite long for a phone", **PHONE)
    fits(page)
    start(page)
    fits(page)
    if task is None:
        for number in range(1, 9):
            page.locator(".tray .card").first.get_by_role("button", name=f"Rank {(number + 1) // 2}:").tap()
        page.locator(".tray .card").first.get_by_role("button", name="Mark unusable").tap()
        fits(page)
        page.get_by_role("dialog").get_by_role("button", name="cut off").tap()
        expect(page.locator(".unusable .reason")).to_have_text("cut off")
        fits(page)
    page.get_by_role("button", name="Instructions").tap()
    fits(page)
    page.goto("/batches")
    fits(page)


def test_a_finger_drags_by_the_handle_and_scrolls_elsewhere(site: Site, visit: Callable[..., Page]):
    site.publish({"It is hot.": [LONG, LONG + "!"]})
    page = visit("Ada", **PHONE)
    start(page)
    first = page.locator(".card").first
    name = first.get_attribute("data-id")
    x, y = centre(first.locator(".text").bounding_box())
    touch(finger_along(page, (x, y), (x, y - 200)), "touchEnd", x, y - 200)
    page.wait_for_function("window.scrollY > 50")
    assert page.locator(".level .card").count() == 0, "scrolling ranks nothing"

    page.wait_for_function(STANDS_STILL)  # a swipe has momentum
    level = page.locator("li.level[data-level='1']")
    handle = page.locator(".card").nth(1).locator(".handle")
    page.evaluate(
        "([one, other]) => scrollBy({ behavior: 'instant', top: (one.getBoundingClientRect().top + "
        "other.getBoundingClientRect().bottom - innerHeight) / 2 })",
        [handle.element_handle(), level.element_handle()],
    )  # both far from the window's edges, where a drag scrolls the page along
    session = finger_along(page, centre(handle.bounding_box()), centre(level.bounding_box()))
    expect(page.locator(".card.dragged")).to_have_count(1)
    to = centre(level.bounding_box())  # a card that is dragged takes less room, so the levels have moved up
    touch(session, "touchMove", *to)
    expect(level).to_have_attribute("data-drop", "onto")
    touch(session, "touchEnd", *to)
    expect(level.locator(".card")).to_have_count(1)
    assert level.locator(".card").get_attribute("data-id") != name


def test_a_ranking_by_touch_is_stored(site: Site, visit: Callable[..., Page]):
    site.publish({"It is hot.": ["Open a window.", "Close it.", "Wait."]})
    page = visit("Ada", **PHONE)
    start(page)
    ids = [one.get_attribute("data-id") for one in page.locator(".card").all()]
    for level in (2, 1, 2):
        page.locator(".tray .card").first.get_by_role("button", name=f"Rank {level}:").tap()
    page.get_by_role("button", name="Submit").tap()
    expect(page.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()
    fits(page)
    assert site.judgements("Ada")[0].levels == [[ids[1]], sorted([ids[0], ids[2]])]


def test_everything_has_a_name_for_those_who_listen(site: Site, visit: Callable[..., Page]):
    site.publish({"It is hot.": ["Open a window.", "Close it."]})
    page = visit("Ada")
    page.get_by_role("button", name="I have read this").click()
    expect(page.locator(".card").first).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    for role, name in (
        ("banner", None),
        ("main", None),
        ("region", "Prompt"),
        ("region", "Your ranking"),
        ("progressbar", "Your progress"),
    ):
        expect(page.get_by_role(role, name=name)).to_be_visible()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([type=hidden]), textarea, select, a")]
            .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    card = page.get_by_role("article", name="Completion A, not ranked yet")
    card.get_by_role("button", name="Rank 2: completion A").click()
    expect(page.get_by_role("article", name="Completion A, rank 2 of 2")).to_be_visible()
