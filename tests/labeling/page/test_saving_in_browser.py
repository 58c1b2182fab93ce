"""Nothing that was said is lost: the server goes away, answers get lost, sign-ins end."""

from collections.abc import Callable

import pytest

from tests.labeling.page.site import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
Page, Route, expect = sync_api.Page, sync_api.Route, sync_api.expect

TEXTS = {"It is dark.": ["Wait.", "Switch on the light."]}


def ranked(page: Page) -> None:
    """Reads the instructions and ranks the first task; not submitted yet."""
    page.get_by_role("button", name="I have read this").click()
    expect(page.locator(".card").first).to_be_focused()
    page.keyboard.press("1")
    page.keyboard.press("2")


def is_done(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text("Saved")
    expect(page.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()


def test_the_server_goes_away_and_comes_back(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada")
    ranked(page)
    site.stop()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Not saved yet – retrying")
    expect(page.locator("#submit")).to_be_disabled()
    assert site.judgements("Ada") == []
    site.start()
    is_done(page)
    assert len(site.judgements("Ada")) == 1


def test_an_answer_whose_receipt_was_lost_is_stored_once(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada")
    keys = []

    def lose_the_first(route: Route) -> None:
        keys.append(route.request.post_data_json["submission"])
        if len(keys) == 1:
            route.fetch()  # it is stored, but the page never hears of it
            route.abort()
        else:
            route.continue_()

    page.route("**/judgement", lose_the_first)
    ranked(page)
    page.keyboard.press("Enter")
    is_done(page)
    assert len(keys) == 2 and keys[0] == keys[1]
    assert len(site.judgements("Ada")) == 1


def test_leaving_with_an_unsaved_answer_warns(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada")
    page.route("**/judgement", lambda route: route.abort())
    ranked(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Not saved yet – retrying")
    with page.expect_event("dialog") as warned:
        page.close(run_before_unload=True)
    assert warned.value.type == "beforeunload"
    page.unroute("**/judgement")
    is_done(page)
    assert len(site.judgements("Ada")) == 1


def test_an_unsaved_answer_survives_a_reload(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada", leaves=True)
    page.route("**/judgement", lambda route: route.fulfill(status=503))
    ranked(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Not saved yet – retrying")
    page.unroute("**/judgement")
    page.reload()
    is_done(page)
    assert len(site.judgements("Ada")) == 1


def test_a_sign_in_that_ends_does_not_cost_the_answer(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada")
    ranked(page)
    page.context.clear_cookies()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="sign in again").click()
    page.get_by_label("Your personal token").fill(site.tokens["Ada"])
    page.keyboard.press("Enter")
    is_done(page)
    assert len(site.judgements("Ada")) == 1


def test_what_the_server_refuses_is_said_plainly_and_can_be_changed(site: Site, visit: Callable[..., Page]):
    site.publish(TEXTS)
    page = visit("Ada")
    refusal = {"status": 422, "json": {"error": "levels: a level is empty"}}
    page.route("**/judgement", lambda route: route.fulfill(**refusal), times=1)
    ranked(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Not saved. levels: a level is empty")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    is_done(page)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert [len(level) for level in site.judgements("Ada")[0].levels] == [2]
