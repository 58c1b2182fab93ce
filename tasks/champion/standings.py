"""How all policies stand against each other: Elo ratings from the meetings of all evaluations."""

from pathlib import Path

from models.evaluation.metrics import Meeting
from models.preferences.elo import EloRating, HeadToHead, elo_ratings
from models.records import read_records
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
