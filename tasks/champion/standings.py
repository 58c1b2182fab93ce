"""How policies stand against each other, by the meetings of all evaluations, and systems, by what people said: Elo ratings."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from labeling.feedback import Feedback
from labeling.store.database import FeedbackStore
from labeling.store.schema import Batch
from labeling.store.snapshots import take_snapshot
from models.errors import DataError
from models.evaluation.metrics import Meeting
from models.preferences.elo import EloRating, HeadToHead, elo_ratings, meetings_of_systems
from models.records import Authorship, Ranking, read_records
from tasks.lineage.origin import is_there
from tasks.running.storage import MANIFEST


def standings(root: Path) -> dict[str, list[EloRating]]:
    """Judge -> the ratings of all models it has judged, best first. Models go by the digests of their artifacts.

    Each prompt of each evaluation below `root/artifacts` is one head-to-head between a policy and the base it started from, or between
    a version and the human reference; policies with the same base compare through it. Judges are never mixed. An evaluation that was made again from the same models counts once.
    """
    met: dict[tuple[str, str, str, str], float] = {}
    for manifest in sorted((root / "artifacts").glob(f"*/{MANIFEST}")):  # none beside what a killed stage has left
        meetings = manifest.with_name("meetings.jsonl")
        for one in read_records(meetings, Meeting) if meetings.is_file() else ():
            if one.policy != one.base:  # tuning that found nothing better gives the base back
                met[one.judge, one.prompt, one.policy, one.base] = one.result
    matches: dict[str, list[HeadToHead]] = {}
    for (judge, _, policy, base), result in met.items():
        matches.setdefault(judge, []).append((policy, base, result))
    return {judge: elo_ratings(own) for judge, own in sorted(matches.items())}


def standings_of_systems(root: Path, store_url: str) -> dict[str, list[EloRating]]:
    """Criterion -> the ratings of all systems whose completions people ranked, best first.

    From the feedback store and all feedback below `root/artifacts`, as far as they say who wrote what; a ranking that stands in several
    places counts once.
    """
    wrote: dict[tuple[str, str], Authorship] = {}
    said: dict[str, Ranking] = {}
    for feedback in _in_store(store_url):
        wrote |= {(one.completion_id, one.system): one for one in feedback.systems}
        said |= {one.id: one for one in feedback.rankings}
    for manifest in sorted((root / "artifacts").glob(f"*/{MANIFEST}")):
        if (systems := manifest.with_name("systems.jsonl")).is_file():
            wrote |= {(one.completion_id, one.system): one for one in read_records(systems, Authorship)}
            rankings = read_records(manifest.with_name("rankings.jsonl"), Ranking, may_be_missing=True)
            said |= {one.id: one for one in rankings}
    rated = {}
    for criterion in sorted({one.criterion for one in said.values()}):
        own = [one for one in said.values() if one.criterion == criterion]
        if matches := meetings_of_systems(own, list(wrote.values())):
            rated[criterion] = elo_ratings(matches)
    return rated


def _in_store(url: str) -> Iterator[Feedback]:
    """What counts now, by each criterion."""
    if not is_there(url):
        return
    with FeedbackStore(url) as store, store.read() as session:
        for criterion in session.scalars(select(Batch.criterion).distinct()):
            with suppress(DataError):  # nobody has judged by it yet
                yield take_snapshot(session, criterion)
