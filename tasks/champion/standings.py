"""How policies stand against each other, by the meetings of all evaluations, and systems, by what people said: Elo ratings."""

from pathlib import Path

from models.evaluation.metrics import Meeting
from models.preferences.elo import EloRating, HeadToHead, elo_ratings, meetings_of_systems
from models.records import Authorship, Ranking, read_records
from tasks.running.storage import MANIFEST


def standings(root: Path) -> dict[str, list[EloRating]]:
    """Judge -> the ratings of all models it has judged, best first. Models go by the digests of their artifacts.

    Each prompt of each evaluation below `root/artifacts` is one head-to-head between a policy and the base it started from;
    policies with the same base compare through it. An evaluation that was made again from the same models counts once.
    """
    met: dict[tuple[str, str, str, str], float] = {}
    for manifest in sorted((root / "artifacts").glob(f"*/{MANIFEST}")):  # none beside what a killed stage has left
        meetings = manifest.with_name("meetings.jsonl")
        for one in read_records(meetings, Meeting) if meetings.is_file() else ():
            met[one.judge, one.prompt, one.policy, one.base] = one.result
    matches: dict[str, list[HeadToHead]] = {}
    for (judge, _, policy, base), result in met.items():
        matches.setdefault(judge, []).append((policy, base, result))
    return {judge: elo_ratings(own) for judge, own in sorted(matches.items())}


def standings_of_systems(root: Path) -> dict[str, list[EloRating]]:
    """Criterion -> the ratings of all systems whose completions people ranked, best first.

    From all feedback below `root/artifacts` that says who wrote what; a ranking that stands in several snapshots counts once.
    """
    wrote: dict[tuple[str, str], Authorship] = {}
    said: dict[str, Ranking] = {}
    for manifest in sorted((root / "artifacts").glob(f"*/{MANIFEST}")):
        if (systems := manifest.with_name("systems.jsonl")).is_file():
            wrote |= {(one.completion_id, one.system): one for one in read_records(systems, Authorship)}
            said |= {one.id: one for one in read_records(manifest.with_name("rankings.jsonl"), Ranking)}
    rated = {}
    for criterion in sorted({one.criterion for one in said.values()}):
        own = [one for one in said.values() if one.criterion == criterion]
        if matches := meetings_of_systems(own, list(wrote.values())):
            rated[criterion] = elo_ratings(matches)
    return rated
