"""What a judge says of two models' completions of the same prompts, as figures. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.evaluation.intervals import sign_flip_p_value, win_rate
from models.evaluation.judges.judge import Judge, PairJudge
from models.evaluation.length_controlled import length_controlled_win_rate
from models.evaluation.metrics import Match, Meeting, outcomes_by_prompt

GAMES_OF_PEOPLE = 144  # halves, thirds, quarters and sixths of a vote are told apart exactly

ENDS = ("", "_low", "_high")
"""What is added to a figure's name for the ends of its interval."""


@dataclass(frozen=True)
class Comparison:
    """`outcomes`: of each prompt, how often the first model's completion is judged the better one, equal ones counting one half.

    `num_games`: an outcome is the mean of so many games (to which it is rounded for `p_value`). `told`: what else the judge says of it.
    `length_controlled`: the win rate at equal lengths with its 95 % interval; None where a judge grades no texts.
    """

    prompts: list[str]
    outcomes: list[float]
    num_games: int
    told: dict[str, float] = field(default_factory=dict)
    length_controlled: tuple[float, float, float] | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Win rate of the first model, also at equal lengths, each with its 95 % interval; none where nothing is judged yet."""
        if not self.outcomes:
            return {}
        rates = {"win_rate": win_rate(self.outcomes)}
        if self.length_controlled:
            rates["win_rate_length_controlled"] = self.length_controlled
        return {name + end: value for name, rate in rates.items() for end, value in zip(ENDS, rate, strict=True)}

    @property
    def p_value(self) -> float:
        """At most this is the chance that two equal models give the first one as high a win rate."""
        return sign_flip_p_value(self.outcomes, self.num_games)

    def meetings(self, judge: str, policy: str, base: str) -> list[Meeting]:
        """Who was better at each prompt; the models go by the digests of their artifacts."""
        return [
            Meeting(
                prompt=prompt,
                judge=judge,
                policy=policy,
                base=base,
                result=(outcome > 0.5) + 0.5 * (outcome == 0.5),
            )
            for prompt, outcome in zip(self.prompts, self.outcomes, strict=True)
        ]


def compare(
    judge: Judge | PairJudge, prompts: Sequence[str], first: Sequence[str], second: Sequence[str], num_samples: int
) -> Comparison:
    """The first model against the second, from `num_samples` completions of each prompt, those of a prompt in a row.

    Who judges pairs is given the first completion of each. Prompts without an outcome are left out.
    """
    if isinstance(judge, PairJudge):
        asked, *texts = (given[::num_samples] for given in (prompts, first, second))
        said, told = judge.outcomes(asked, *texts)
        known = {prompt: one for prompt, one in zip(asked, said, strict=True) if one is not None}
        return Comparison(list(known), list(known.values()), GAMES_OF_PEOPLE, told)
    grades = judge.grade(prompts, first), judge.grade(prompts, second)
    return Comparison(
        list(prompts[::num_samples]),
        outcomes_by_prompt(*grades, num_samples),
        num_samples**2,
        length_controlled=length_controlled_win_rate(*grades, first, second, num_samples),
    )


def describe_matches(matches: Sequence[Match], judges: Sequence[Judge | PairJudge]) -> dict[str, float | int]:
    """The figures of a policy beside its base that need no outcome: scores, KL, ends, repetition, and what the judges add."""
    num = len(matches)
    prompts = [match.prompt for match in matches]
    figures = {
        f"{name}_{model}": value
        for judge in judges
        for model in ("base", "policy")
        for name, value in judge.figures(prompts, [getattr(match, f"{model}_completion") for match in matches]).items()
    }
    return figures | {
        "score_base": sum(match.base_score for match in matches) / num,
        "score_policy": sum(match.policy_score for match in matches) / num,
        "kl_nats": sum(match.kl_nats for match in matches) / num,
        "end_rate": sum(match.policy_ended for match in matches) / num,
        "end_rate_base": sum(match.base_ended for match in matches) / num,
        "distinct_completions": len({match.policy_completion for match in matches}),
        "distinct_completions_base": len({match.base_completion for match in matches}),
    }
