"""What tests in several folders need."""

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.waiting import CEILING_SECONDS

try:
    from playwright.sync_api import Browser, expect, sync_playwright
except ModuleNotFoundError:
    sync_playwright = None


gc.disable()  # until all tests are imported, which takes a quarter longer with it

LONG_BY_ITSELF = {"tests/flows/test_up.py", "tests/flows/test_retrain.py"}
RANKS = {"tests/tasks/running/test_torch_ranks.py", "tests/models/distributed/test_collectives.py"}
LONGEST_FIRST = (
    *("tests/flows/", "tests/flows/test_up.py", "tests/flows/test_retrain.py", *sorted(RANKS)),
    *("tests/cli/test_temporary_server.py", "tests/models/tuning/ppo/test_resume.py"),
)


class OneProcessAFile(LoadScopeScheduling):
    """Tests of one file stay in one process; so do most runs of the smallest preset, which share a server and cached stages, and what
    forks its ranks from one process that has everything imported."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in RANKS:
            return "ranks"
        return "tests/flows" if file.startswith("tests/flows/") and file not in LONG_BY_ITSELF else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first: else one process would be at it when the others have nothing left to do.

    Flows begin before anything that uses `browser`, see `chromium`.
    """
    order = {start: number for number, start in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: max((order[one] for one in order if item.nodeid.startswith(one)), default=len(order)))


def pytest_collection_finish() -> None:
    """What is there now stays: no later collection has to look at it again."""
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Asked when several processes share the suite (`-n 3`)."""
    return OneProcessAFile(config, log)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A headless Chromium. Until it is closed this thread has an event loop, by which Prefect takes itself for asynchronous."""
    program = shutil.which("chromium")
    if sync_playwright is None or program is None:
        pytest.skip("needs playwright and chromium")
    expect.set_options(timeout=1000 * CEILING_SECONDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One Chromium for all tests that call no flow."""
    with chromium() as started:
        yield started
