"""What people say of the same texts, and the base that their rewards begin with: simulated people of two opposite tastes, and a real crowd."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.crowd import BUSY, read_judgements
from benchmarks.trials import PROJECT
from labeling.labelers.simulated import open_labeler
from labeling.worlds import household
from models.network.architecture import context_length
from models.network.base import open_base
from models.network.networks import save_policy
from models.records import Completion, Prompt, Ranking
from models.rewards.pairwise import encode_for_score
from models.settings.compute import Compute
from models.settings.labels import SimulatedLabeler
from models.settings.presets import load_config
from models.settings.rewards import PersonalReward
from models.settings.sources import Household
from models.settings.training import PretrainingConfig, ScratchBase
from models.training.causal_lm import pack_texts, train_language

SHARE_HELD_OUT = 0.25  # of the prompts
COMPUTE = Compute(device="cpu", precision="float32")


class World(NamedTuple):
    """Prompts (a quarter of them held out), completions, everybody's rankings, and how the reward is trained on the base in the folder."""

    prompts: list[Prompt]
    completions: list[Completion]
    rankings: list[Ranking]
    base: Path
    config: PersonalReward


def tiny(seed: int, folder: Path) -> World:
    """Four simulated people who find a shorter completion better, or a longer one: two and two."""
    tastes = {"short-1": "careful", "short-2": "careful", "long-1": "upside_down", "long-2": "upside_down"}
    people = [SimulatedLabeler(name=name, behaviour=one, goes_by="brevity") for name, one in tastes.items()]
    config = PersonalReward(num_epochs=8, batch_size=8, learning_rate=5e-4)
    return World(*household_people(seed, 200, people), pretrained(seed, folder), config)


def household_people(
    seed: int, size: int, people: Sequence[SimulatedLabeler]
) -> tuple[list[Prompt], list[Completion], list[Ranking]]:
    """So many prompts of the tiny world with four of its demonstrations each, and what these people say of them."""
    written: dict[str, dict[str, None]] = defaultdict(dict)
    for prompt, text in household.demonstrations(40 * size, seed):
        written[prompt][text] = None
    enough = sorted(prompt for prompt, texts in written.items() if len(texts) >= 4)
    prompts = divide(np.random.default_rng(seed).permutation(enough)[:size].tolist(), seed)
    shown = {one.id: [Completion.of(one.id, text) for text in list(written[one.text])[:4]] for one in prompts}
    labelers = [open_labeler(one, "taste", seed) for one in people]
    rankings = [labeler.label(prompt, shown[prompt.id]) for labeler in labelers for prompt in prompts]
    return prompts, list(chain.from_iterable(shown.values())), rankings


def pretrained(seed: int, folder: Path) -> Path:
    """The base of deployments/tiny.yaml, pretrained on a quarter of its texts."""
    shape = ScratchBase(vocab_size=640, hidden_size=128, num_layers=3, num_heads=4, context_length=64)
    texts = household.texts(6000, seed)
    model, tokenizer = open_base(shape, texts, seed)
    config = PretrainingConfig(source=Household(), batch_size=8, learning_rate=2e-3)
    for _ in train_language(model, pack_texts(tokenizer, texts, 64), config, COMPUTE, seed):
        pass
    save_policy(folder / "model", model, tokenizer)
    return folder


def ukpconvarg(seed: int, folder: Path) -> World:
    """Real people: which of two arguments convinces more (UKPConvArg1), by those who judged 50 pairs or more. A prompt is a topic with a side, of
    which a quarter are held out; an argument that is too long for the base is left out, and so is a pair of the same text. The base is stories260k."""
    data = Path(os.environ["REIN_DATA"])
    model, tokenizer = open_base(load_config(PROJECT / "deployments" / "rankme.yaml", []).base, [], seed)
    save_policy(folder / "model", model, tokenizer)
    rows = [json.loads(line) for line in (data / "convincing" / "arguments.jsonl").read_text("utf-8").splitlines()]
    asked = {row["topic"]: row["topic"].replace("_", ": ").replace("-", " ") for row in rows}
    prompts = dict(zip(sorted(asked), divide([asked[topic] for topic in sorted(asked)], seed), strict=True))
    limit = context_length(model.config)
    found = {
        row["id"]: Completion.of(prompts[row["topic"]].id, row["text"])
        for row in rows
        if len(encode_for_score(tokenizer, asked[row["topic"]], row["text"])) <= limit
    }
    judgements = read_judgements(data / "convincing" / "judgments.jsonl")
    counts = Counter(one.labeler for one in judgements)
    rankings = [
        Ranking.of(
            prompts[one.prompt_id].id,
            one.labeler,
            one.criterion,
            [[found[name].id for name in level] for level in one.levels],
            session=one.session,
        )
        for one in judgements
        if counts[one.labeler] >= BUSY and len({found[name].id for name in one.places if name in found}) == 2
    ]
    config = PersonalReward(num_epochs=4, batch_size=2, learning_rate=1e-3)
    return World(list(prompts.values()), list(found.values()), rankings, folder, config)


def divide(texts: Sequence[str], seed: int) -> list[Prompt]:
    """Prompts, of which a quarter, drawn by the seed, is held out."""
    order = np.random.default_rng(seed).permutation(len(texts))
    held_out = set(order[: round(SHARE_HELD_OUT * len(texts))].tolist())
    return [Prompt.of(text, "test" if number in held_out else "train") for number, text in enumerate(texts)]


WORLDS = {"tiny": tiny, "ukpconvarg": ukpconvarg}
