"""What can be labelled, and what tells how good a reward is: judgements that were made, of which one after the other is uncovered."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.crowd import read_judgements
from benchmarks.personal.worlds import divide, household_people
from benchmarks.trials import PROJECT
from labeling.importers.read_feedback import read_feedback
from models.evaluation.reward_report import strict_preferences
from models.records import Ranking
from models.settings.labels import SimulatedLabeler
from models.settings.presets import load_config

Texts = dict[str, tuple[str, str]]
"""Completion -> its prompt and its text."""


@dataclass(frozen=True)
class Pool:
    """`items`: the judgements of each set of completions that people were shown, in the order in which they are uncovered; `held_out`: strict
    preferences (better, worse) on other prompts."""

    texts: Texts
    items: list[list[Ranking]]
    held_out: list[tuple[str, str]]

    @classmethod
    def of(cls, texts: Texts, learned: Iterable[Ranking], held_out: Iterable[Ranking], seed: int) -> "Pool":
        """From judgements of training prompts and of held-out ones; the seed shuffles them."""
        items = defaultdict(list)
        for one in learned:
            items[one.prompt_id, *sorted(one.places)].append(one)
        generator = np.random.default_rng(seed)
        shuffled = [[said[number] for number in generator.permutation(len(said))] for said in items.values()]
        plain = {name: text for name, (_, text) in texts.items()}
        wanted = [pair for one in held_out for pair in strict_preferences(one, plain)]
        return cls(texts, [shuffled[number] for number in generator.permutation(len(shuffled))], wanted)


def tiny(seed: int) -> Pool:
    """1,200 prompts of the tiny world with four completions each, ranked by three simulated people."""
    people = [SimulatedLabeler(name=behaviour, behaviour=behaviour) for behaviour in ("careful", "noisy", "ties")]
    prompts, completions, rankings = household_people(seed, 1200, people)
    asked, learned = {one.id: one.text for one in prompts}, {one.id for one in prompts if one.split == "train"}
    texts = {one.id: (asked[one.prompt_id], one.text) for one in completions}
    told, kept = ([one for one in rankings if (one.prompt_id in learned) == side] for side in (True, False))
    return Pool.of(texts, told, kept, seed)


def e2e(seed: int) -> Pool:
    """E2E, quality: five completions of a prompt, two workers or three; the test prompts of deployments/e2e.yaml are held out."""
    config = load_config(PROJECT / "deployments" / "e2e.yaml", [])
    feedback = read_feedback(config.labels, config.split, seed)
    asked, held_out = (
        {one.id: one.text for one in feedback.prompts},
        {p.id for p in feedback.prompts if p.split == "test"},
    )
    texts = {one.id: (asked[one.prompt_id], one.text) for one in feedback.completions}
    told, kept = ([one for one in feedback.rankings if (one.prompt_id in held_out) == side] for side in (False, True))
    return Pool.of(texts, told, kept, seed)


def ukpconvarg(seed: int) -> Pool:
    """UKPConvArg1: pairs of arguments of a topic with a side, some five workers each; a quarter of the topics is held out."""
    folder = Path(os.environ["REIN_DATA"]) / "convincing"
    rows = [json.loads(line) for line in (folder / "arguments.jsonl").read_text(encoding="utf-8").splitlines()]
    topics = divide(sorted({row["topic"] for row in rows}), seed)
    held_out = {one.text for one in topics if one.split == "test"}
    judgements = read_judgements(folder / "judgments.jsonl")
    told, kept = ([one for one in judgements if (one.prompt_id in held_out) == side] for side in (False, True))
    return Pool.of({row["id"]: (row["topic"], row["text"]) for row in rows}, told, kept, seed)


WORLDS = {"tiny": tiny, "e2e": e2e, "ukpconvarg": ukpconvarg}
