"""`rein fetch`: published rankings and a small model, into the folder that presets read them from."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cli.starting.typed import example
from labeling.public_data.data_set import DataSet, fill
from labeling.public_data.e2e import E2E
from labeling.public_data.rankme import RANKME
from labeling.public_data.stories260k import STORIES260K

fetch = App(
    name="fetch",
    help="Published rankings and a small model, into a folder for REIN_DATA to name.",
    help_epilogue=example("fetch e2e data"),
)

Copies = Annotated[
    Path | None, Parameter(name="--from", help="A folder with copies of the repositories (folders or .zip files).")
]
Replace = Annotated[bool, Parameter(negative="", help="Write anew what is there already.")]


@fetch.command(help_epilogue=example("fetch e2e data"))
def e2e(folder: Path, *, copies: Copies = None, replace: Replace = False) -> None:
    """The E2E NLG Challenge: two criteria, 21 systems, and what people wrote themselves."""
    _fetch(E2E, folder, copies, replace)


@fetch.command(help_epilogue=example("fetch rankme data"))
def rankme(folder: Path, *, copies: Copies = None, replace: Replace = False) -> None:
    """RankME: three criteria, three systems."""
    _fetch(RANKME, folder, copies, replace)


@fetch.command(help_epilogue=example("fetch stories260k data"))
def stories260k(folder: Path, *, copies: Copies = None, replace: Replace = False) -> None:
    """A real model of 260,000 weights, the base of deployments/rankme.yaml."""
    _fetch(STORIES260K, folder, copies, replace)


def _fetch(data: DataSet, folder: Path, copies: Path | None, replace: bool) -> None:
    filled = fill(data, folder, copies, replace)
    for name in data.files:
        print(f"{folder / name}" + (f": {filled.num_rows[name]} rows" if name in filled.num_rows else ""))
    for repository in data.repositories:
        print(f"licence of {repository.page}: {repository.licence}")
    print(data.changed)
    for path in filled.unlike_the_known:
        print(f"not as published (by its sha256): {path}")
    if filled.unlike_the_last is not None:
        print(f"changed since it was last fetched: {', '.join(filled.unlike_the_last) or 'nothing'}")
    print(f"what was read, with sha256: {folder / data.sources}")
