"""A running page for each test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.labeling.page.site import STORE, Site
from tests.templates import empty_store
from tests.waiting import CEILING_SECONDS, PAGE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    shutil.copy(empty_store(tmp_path_factory), tmp_path / STORE)
    running = Site(tmp_path)
    yield running
    running.close()


@pytest.fixture
def visit(site: Site, browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Opens a path as someone who signs in first, in a browser of their own (options: viewport, has_touch, ...).

    Where a page warns before it is left, they stay, or leave if `leaves`.

    At the end no script may have failed, been blocked by the page's own policy, or opened a dialog.
    """
    from playwright.sync_api import expect

    contexts, complaints = [], []
    expect.set_options(timeout=1000 * PAGE_SECONDS)

    def opened(name: str, path: str = "/", leaves: bool = False, **options: Any) -> "Page":
        contexts.append(browser.new_context(base_url=site.url, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * PAGE_SECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and complaints.append(message.text))
        page.on("dialog", lambda dialog: _answer_dialog(dialog, leaves, complaints))
        page.goto(f"/sign-in?next={path}")
        page.get_by_label("Your personal token").fill(site.tokens.get(name) or site.add(name))
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/sign-in" not in url)
        return page

    yield opened
    expect.set_options(timeout=1000 * CEILING_SECONDS)
    for context in contexts:
        context.close()
    assert complaints == []


def _answer_dialog(dialog: "Dialog", leaves: bool, complaints: list[str]) -> None:
    if dialog.type != "beforeunload":
        complaints.append(dialog.message)  # it comes from a script that should not run
    dialog.accept() if leaves else dialog.dismiss()
