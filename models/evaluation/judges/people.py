"""The judge that is people: they are shown a text of either model, and say which is better. What they have said so far is frozen in a folder."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from models.evaluation.judges.judge import Material, PairOutcomes
from models.preferences.agreement_report import of_rankings
from models.preferences.vote_table import VoteTable
from models.records import Completion, Prompt, Ranking, read_records
from models.settings.compute import Compute
from models.settings.judges import People


class ShownPair(NamedTuple):
    """A prompt and a completion of either model."""

    prompt: Prompt
    first: Completion
    second: Completion

    @classmethod
    def of(cls, prompt: str, first: str, second: str, ended: tuple[bool, bool] = (True, True)) -> "ShownPair":
        """The pair of these texts. Who wrote which stands in no id."""
        asked = Prompt.of(prompt, "test")
        return cls(asked, *(Completion.of(asked.id, *text) for text in zip((first, second), ended, strict=True)))

    @property
    def is_equal(self) -> bool:
        """Whether both wrote the same: there is nothing to ask."""
        return self.first.id == self.second.id

    def outcome(self, ranking: Ranking) -> float:
        """1: somebody says that the first is better, .5: equal, 0: worse."""
        places = ranking.places
        first, second = places[self.first.id], places[self.second.id]
        return (first < second) + 0.5 * (first == second)


def knows(prompt: str) -> bool:
    """People can be asked about any prompt."""
    return True


class _People:
    def __init__(self, num_prompts: int, votes: Sequence[Ranking]) -> None:
        self.num_prompts, self.votes = num_prompts, votes

    def outcomes(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PairOutcomes:
        """The mean over people, of the first `num_prompts` prompts as far as somebody has voted; equal texts count one half without a
        vote, if people have come that far."""
        pairs = [ShownPair.of(*texts) for texts in zip(prompts, first, second, strict=True)][: self.num_prompts]
        given: dict[frozenset[str], list[Ranking]] = {}
        for vote in self.votes:
            given.setdefault(frozenset(vote.places), []).append(vote)
        votes = [given.get(frozenset((pair.first.id, pair.second.id)), []) for pair in pairs]
        outcomes = _as_far_as_people_came([_outcome(*both) for both in zip(pairs, votes, strict=True)], votes)
        counted = [vote for own in votes for vote in own]
        told = {
            "num_people": len({one.labeler for one in counted}),
            "num_votes": len(counted),
            "num_prompts": sum(one is not None for one in outcomes),
            "num_waiting": sum(not own and not pair.is_equal for pair, own in zip(pairs, votes, strict=True)),
        }
        agreement = of_rankings(VoteTable(counted)).percent_agreement if counted else None
        if agreement is not None:
            told["percent_agreement"] = agreement
        return PairOutcomes([*outcomes, *[None] * (len(prompts) - len(pairs))], told)

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        return {}


def open_judge(config: People, material: Material, compute: Compute) -> _People:
    """Its outcomes are what people have voted so far, and it grades nothing."""
    if material.votes is None:
        return _People(config.num_prompts, [])
    return _People(config.num_prompts, read_records(material.votes / "rankings.jsonl", Ranking, may_be_missing=True))


def describe_votes(report: Mapping[str, Any]) -> list[str]:
    """How far people have voted, where they judge, in lines for people; whether a result waits for them."""
    lines = []
    if said := report["judges"].get("people"):
        lines += _told(said, "policy and base", report.get("head_to_head"), report["judge"] == "people")
    if report.get("challenge_judge") == "people":
        said = {name.removeprefix("challenge_"): one for name, one in report.items() if name.startswith("challenge_")}
        lines += _told(said, "challenger and champion", report.get("challenge_head_to_head"), True)
    return lines


def waits_for_votes(report: Mapping[str, Any]) -> bool:
    """Whether there are texts that nobody has voted on yet."""
    return bool(report["judges"].get("people", {}).get("num_waiting") or report.get("challenge_num_waiting"))


def _told(said: Mapping[str, Any], who: str, batch: str | None, is_result: bool) -> list[str]:
    agreed = (
        f", who agree on {said['percent_agreement']:.0%} of what two of them saw" if "percent_agreement" in said else ""
    )
    lines = [
        f"people on {who}: {said['num_votes']} votes by {said['num_people']} people{agreed}; prompts with a result: {said['num_prompts']}"
    ]
    if said["num_waiting"]:
        lines.append(f"people on {who}: waiting for votes; prompts without any: {said['num_waiting']} (batch {batch})")
    if is_result and "win_rate" not in said:
        lines.append(
            f"people on {who}: theirs is the word that is the result, and there is none before they have voted"
        )
    return lines


def _outcome(pair: ShownPair, votes: Sequence[Ranking]) -> float | None:
    if pair.is_equal:
        return 0.5
    return fmean(pair.outcome(vote) for vote in votes) if votes else None


def _as_far_as_people_came(outcomes: list[float | None], votes: Sequence[Sequence[Ranking]]) -> list[float | None]:
    """The outcomes without those behind the last prompt that was voted on, while some of these wait for votes: they are asked about in
    this order, and else equal texts, which need no vote, would be too large a share of what there is so far."""
    reached = max((place for place, own in enumerate(votes, start=1) if own), default=0)
    behind = outcomes[reached:]
    return outcomes[:reached] + ([None] * len(behind) if None in behind else behind)
