"""A file under a second name: its content lies on the disk once."""

import os
import shutil
from pathlib import Path


def link_or_copy(source: str, destination: str) -> None:
    """Makes `destination` a hard link to `source`, or a copy where there can be none. A link is a second name: removing one leaves the other."""
    Path(destination).unlink(missing_ok=True)  # of an attempt that failed
    try:
        os.link(source, destination)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, destination)
