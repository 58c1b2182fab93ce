"""What people said of single completions, thumbs or yes and no: as rankings, and as votes for classes. Loads no torch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.class_votes import UNWANTED, WANTED, ClassVotes
from models.records import Completion, Prompt, Ranking, Rating, read_records


def votes_of_ratings(
    prompts: Iterable[Prompt], completions: Iterable[Completion], ratings: Iterable[Rating]
) -> list[ClassVotes]:
    """The votes of each rated completion, in the order of the completions. Of several ratings by one labeler the last counts."""
    prompt_of = {one.id: one for one in prompts}
    said: dict[str, dict[str, bool]] = {}
    for rating in ratings:
        said.setdefault(rating.completion_id, {})[rating.labeler] = rating.wanted
    votes = []
    for one in completions:
        if one.id in said:
            counts = Counter(WANTED if wanted else UNWANTED for wanted in said[one.id].values())
            prompt = prompt_of[one.prompt_id]
            votes.append(
                ClassVotes(prompt=prompt.text, text=one.text, split=prompt.split, votes=dict(sorted(counts.items())))
            )
    return votes


def read_votes(feedback: Path) -> list[ClassVotes]:
    """All votes for classes in the folder of a feedback snapshot: those of its ratings, and those that were counted before."""
    ratings = read_records(feedback / "ratings.jsonl", Rating, may_be_missing=True)
    counted = read_records(feedback / "class_votes.jsonl", ClassVotes, may_be_missing=True)
    if not ratings:
        return counted
    prompts, completions = (
        read_records(feedback / "prompts.jsonl", Prompt),
        read_records(feedback / "completions.jsonl", Completion),
    )
    return votes_of_ratings(prompts, completions, ratings) + counted


def classes_of(votes: Iterable[ClassVotes]) -> tuple[str, ...]:
    """The names of all classes that have a vote, by the alphabet."""
    return tuple(sorted({name for one in votes for name in one.votes}))


def of_split(votes: Sequence[ClassVotes], split: str) -> list[ClassVotes]:
    """Those on one side of the split."""
    return [one for one in votes if one.split == split]


def rankings_of_ratings(ratings: Iterable[Rating]) -> list[Ranking]:
    """One ranking per labeler, prompt and criterion with two or more rated completions: the wanted ones above the others.

    Completions of the same answer are tied. Of several ratings of one completion by one labeler the last counts.
    """
    answers: dict[tuple[str, str, str], dict[str, bool]] = {}
    for one in ratings:
        answers.setdefault((one.prompt_id, one.labeler, one.criterion), {})[one.completion_id] = one.wanted
    return [
        Ranking.of(*question, [level for level in _levels(wanted) if level])
        for question, wanted in answers.items()
        if len(wanted) >= 2
    ]


def ranked_outright(rankings: Iterable[Ranking], ratings: Iterable[Rating]) -> list[Ranking]:
    """The rankings without those that follow from the ratings, and say nothing besides."""
    following = {one.id for one in rankings_of_ratings(ratings)}
    return [one for one in rankings if one.id not in following]


def _levels(wanted: dict[str, bool]) -> tuple[list[str], list[str]]:
    return sorted(name for name in wanted if wanted[name]), sorted(name for name in wanted if not wanted[name])
