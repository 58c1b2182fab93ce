"""The picture of the labelers' page in README, drawn by Chromium from a page that really runs.

    .venv/bin/python -m benchmarks.screenshots

Needs `chromium` on the path. Writes docs/pictures/page.png.
"""

import shutil
import socket
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, sync_playwright

from benchmarks.trials import PROJECT
from labeling.page.app import LOCAL_HOSTS
from labeling.page.serve import server_config
from labeling.store.accounts import add_labeler
from labeling.store.batches import publish
from labeling.store.database import FeedbackStore
from labeling.worlds.household_source import INSTRUCTIONS
from models.records import Completion, Prompt
from models.settings.batch import BatchConfig

PICTURE = PROJECT / "docs" / "pictures" / "page.png"
SIZE = {"width": 1000, "height": 700}
ASKED = "My house is too hot."
ANSWERS = (
    "You could open the windows at night and switch on the fan.",
    "For your house, I would drink cold water.",
    "It helps to turn up the heater.",
    "You should turn down the heater. It costs very little.",
)


def main() -> None:
    """Publishes a batch of one prompt, signs somebody in, ranks two of its four completions, and takes the picture."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        store = FeedbackStore(f"sqlite:///{folder}/feedback.db")
        token = _publish(store)
        address = listening.getsockname()
        server = uvicorn.Server(server_config(store, *address, LOCAL_HOSTS))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            _take(f"http://127.0.0.1:{address[1]}", token, PICTURE)
        finally:
            server.should_exit = True
            thread.join()
            store.close()


def _publish(store: FeedbackStore) -> str:
    now, prompt = datetime.now(UTC), Prompt.of(ASKED, "train")
    completions = [Completion.of(prompt.id, text) for text in ANSWERS]
    with store.write() as session:
        publish(session, BatchConfig(), "Advice for the house", INSTRUCTIONS, [prompt], completions, [], now)
        return add_labeler(session, "ann", False, now)


def _take(url: str, token: str, picture: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=url, viewport=SIZE)
        page.goto("/sign-in")
        page.get_by_label("Your personal token").fill(token)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="I have read this").click()
        _rank(page)
        page.screenshot(path=picture)
        browser.close()


def _rank(page: Page) -> None:
    page.locator(".tray .card").nth(len(ANSWERS) - 1).wait_for()
    for key in ("1", "2"):
        page.keyboard.press(key)


if __name__ == "__main__":
    main()
