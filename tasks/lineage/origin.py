"""Who and what is behind a feedback artifact: its labelers and prompts, and the snapshot of the feedback store that it is."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from labeling.store.accounts import find_labeler
from labeling.store.database import FeedbackStore
from labeling.store.schema import Snapshot
from labeling.store.snapshots import snapshots_with, withdrawals
from models.errors import DataError
from models.records import Prompt, read_records

_LABELER = re.compile(rb'"labeler":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Origin:
    """`judgements`: labeler -> rankings and ratings. `prompts`: split -> how many. `taken_at`, `criterion`: of the snapshot,
    None where the feedback comes from files or simulated labelers. `withdrawn`: labeler -> when."""

    judgements: dict[str, int]
    prompts: dict[str, int]
    taken_at: datetime | None
    criterion: str | None
    withdrawn: dict[str, datetime]


def origins_of(folders: dict[str, Path], store_url: str) -> dict[str, Origin]:
    """What is known of feedback (digest -> folder), from its files and, where there is one, from the feedback store."""
    snapshots: dict[str, Snapshot] = {}
    gone: dict[str, datetime] = {}
    if is_there(store_url):
        with FeedbackStore(store_url) as store, store.read() as session:
            found = session.scalars(select(Snapshot).where(Snapshot.sha256.in_(folders)))
            snapshots = {one.sha256: one for one in found}
            gone = withdrawals(session)
            session.expunge_all()
    return {sha256: _origin_of(folder, snapshots.get(sha256), gone) for sha256, folder in folders.items()}


def _origin_of(folder: Path, snapshot: Snapshot | None, gone: dict[str, datetime]) -> Origin:
    judgements = dict(sorted(judgements_in(folder).items()))
    prompts = dict(sorted(Counter(one.split for one in read_records(folder / "prompts.jsonl", Prompt)).items()))
    if snapshot is None:  # and names in files are not those of the store
        return Origin(judgements, prompts, taken_at=None, criterion=None, withdrawn={})
    withdrawn = {name: at for name, at in gone.items() if name in judgements}
    return Origin(judgements, prompts, snapshot.created_at, snapshot.criterion, withdrawn)


def judgements_in(folder: Path) -> Counter[str]:
    """Labeler -> how many rankings and ratings. Looks for the names alone: there may be hundreds of folders to look through."""
    found: Counter[bytes] = Counter()
    for file in (folder / "rankings.jsonl", folder / "ratings.jsonl"):
        if file.is_file():
            found.update(_LABELER.findall(file.read_bytes()))
    return Counter({json.loads(name): number for name, number in found.items()})


def feedback_with(name: str, folders: dict[str, Path], store_url: str) -> set[str]:
    """The digests of the feedback that holds something this labeler said: `folders` (digest -> folder), and snapshots.

    Raises DataError for a labeler whom neither the feedback store nor any feedback knows.
    """
    found = {sha256 for sha256, folder in folders.items() if name in judgements_in(folder)}
    if is_there(store_url):
        with FeedbackStore(store_url) as store, store.read() as session:
            try:
                return found | {one.sha256 for one in snapshots_with(session, find_labeler(session, name).id)}
            except DataError:
                pass  # known from files, perhaps
    if not found:
        raise DataError(f"labeler {name}: no one of this name is in the feedback store {store_url} or in any feedback")
    return found


def is_there(database_url: str) -> bool:
    """Whether a database can be asked: a file of SQLite exists. Asking must not make one."""
    return not database_url.startswith("sqlite:///") or Path(database_url.removeprefix("sqlite:///")).is_file()
