"""What tests in several folders need."""

import shutil
from collections.abc import Iterator

import pytest

try:
    from playwright.sync_api import Browser, sync_playwright
except ModuleNotFoundError:
    sync_playwright = None


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Headless Chromium."""
    chromium = shutil.which("chromium")
    if sync_playwright is None or chromium is None:
        pytest.skip("needs playwright and chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
