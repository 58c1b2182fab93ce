"""Which processes there are."""

from pathlib import Path


def processes_that_name(folder: Path) -> list[int]:
    """The ids of processes that have the folder on their command line (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "cmdline").read_text():
                found.append(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    return found
