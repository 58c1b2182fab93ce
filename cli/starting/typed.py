"""Commands that are printed, so that they can be typed as they stand."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from cli.store_option import DEFAULT_STORE


def example(words: str) -> str:
    """The line below a command's help, in Markdown."""
    return f"Example: `rein {words}`"


def typed(*words: str, store: str = DEFAULT_STORE) -> str:
    """A `rein` command of these words, called as this one was; `--store` where the feedback store is not where it is without being said."""
    named = () if store == DEFAULT_STORE else ("--store", store)
    return shlex.join([_program(), *words, *named])


def typed_again() -> str:
    """The command that is running."""
    return shlex.join([_program(), *sys.argv[1:]])


def _program() -> str:
    """`rein` where a shell finds this one by that name; else its path, below this folder as seen from here."""
    called = Path(sys.argv[0])
    if called.name != "rein" or not called.exists():  # `python -m cli.command`
        return "rein"
    found = shutil.which("rein")
    if found and Path(found).absolute() == called.absolute():
        return "rein"
    near = os.path.relpath(called)
    return str(called) if near.startswith(os.pardir) else near
