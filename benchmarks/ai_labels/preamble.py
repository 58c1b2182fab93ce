"""What the instructions that people were given do for a model that labels, and what reasoning does: agreement with people, where chance has one half.

One pair of completions of each prompt, which at least one person put in an order. Cases: with the preamble that people had or none, with chain of
thought or none; beside them people among each other, on the same pairs.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.trials import PROJECT
from labeling.importers.read_feedback import read_feedback
from labeling.labelers.ai import Shown, ask_model, shown_together
from models.evaluation.intervals import win_rate
from models.judge_model.kept_answers import KeptAnswers
from models.preferences.agreement import order_agreement
from models.records import Ranking
from models.settings.asked.labels import AILabeler
from models.settings.labels import FeedbackFiles
from models.settings.presets import load_config

QUALITY = "How do you judge the overall quality of the utterance in terms of its grammatical correctness, fluency, adequacy and other important factors?"
"""What the annotators of RankME and of the E2E challenge were asked (Novikova et al. 2018, "RankME"; Dušek et al. 2020)."""
PRESETS = {"rankme": "deployments/rankme.yaml", "e2e": "deployments/e2e.yaml"}
CASES = {
    "no preamble": ("", False),
    "preamble": (QUALITY, False),
    "no preamble, chain of thought": ("", True),
    "preamble, chain of thought": (QUALITY, True),
}


class Asked(NamedTuple):
    """Pairs, one of a prompt, and what people said of each."""

    shown: list[Shown]
    people: list[Ranking]


def pairs_of(data: str, num_pairs: int, seed: int) -> Asked:
    """Drawn from the prompts in an order that the seed decides. A person's ranking of more completions is cut to the two."""
    config = load_config(PROJECT / PRESETS[data])
    assert isinstance(config.labels, FeedbackFiles)
    feedback = read_feedback(config.labels, config.split, config.seed)
    rng = random.Random(seed)
    sets = shown_together(feedback.prompts, feedback.completions, feedback.rankings)
    rng.shuffle(sets)
    said: dict[str, list[Ranking]] = {}
    for one in feedback.rankings:
        said.setdefault(one.prompt_id, []).append(one)
    found: dict[str, tuple[Shown, list[Ranking]]] = {}
    for prompt, completions in sets:
        pair = sorted(rng.sample(list(completions), 2), key=lambda one: one.id)
        people = [cut for one in said[prompt.id] if (cut := _cut(one, [text.id for text in pair]))]
        if prompt.id not in found and any(len(one.levels) > 1 for one in people):
            found[prompt.id] = ((prompt, pair), people)
    chosen = list(found.values())[:num_pairs]
    return Asked([shown for shown, _ in chosen], [one for _, people in chosen for one in people])


def _cut(ranking: Ranking, names: Sequence[str]) -> Ranking | None:
    places = ranking.places
    if not all(name in places for name in names):
        return None
    levels = [[name for name in names if places[name] == place] for place in sorted({places[name] for name in names})]
    return Ranking.of(ranking.prompt_id, ranking.labeler, ranking.criterion, levels, session=ranking.session)


def measure(data: str, model: Mapping[str, Any], num_pairs: int, seed: int, kept: Path, tokens: int) -> Iterator[dict]:
    """A row for each case; answers are kept, so that after a kill the same goes on."""
    asked = pairs_of(data, num_pairs, seed)
    answers = KeptAnswers(kept)
    among = _agreement(asked.people, asked.people)
    for case, (preamble, reasons) in CASES.items():
        labeler = AILabeler(
            name="model", model=model, preamble=preamble, chain_of_thought=reasons, max_reasoning_tokens=tokens
        )
        said = ask_model(labeler, asked.people[0].criterion, asked.shown, answers)
        yield {
            "case": f"{data}: {case}",
            "pairs": len(asked.shown),
            "rankings": len(said.rankings),
            "agreement_with_people": _agreement(said.rankings, asked.people),
            "agreement_of_people": among,
            **{
                name: said.told[name]
                for name in ("position_bias", "consistency", "unreadable", "option_mass")
                if name in said.told
            },
            "seed": seed,
        }


def _agreement(rankings: Sequence[Ranking], people: Sequence[Ranking]) -> tuple[float, ...] | None:
    """The mean over prompts of `order_agreement`, with its 95 % interval over prompts."""
    prompts = sorted({one.prompt_id for one in rankings})
    of_each = [
        order_agreement(
            [one for one in rankings if one.prompt_id == prompt], [one for one in people if one.prompt_id == prompt]
        )
        for prompt in prompts
    ]
    known = [one for one in of_each if one is not None]
    return tuple(round(end, 4) for end in win_rate(known)) if known else None
