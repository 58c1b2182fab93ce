"""What tests in several folders need."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    from playwright.sync_api import Browser, sync_playwright
except ModuleNotFoundError:
    sync_playwright = None


FLOWS = Path(__file__).parent / "flows"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay in one process, and so do whole runs: they share servers and cached stages."""
    for item in items:
        own = "flows" if FLOWS in item.path.parents else item.path.stem
        item.add_marker(pytest.mark.xdist_group(own))


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
