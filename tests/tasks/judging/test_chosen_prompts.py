"""The stage that hands out what a reward's members disagree on."""

from types import SimpleNamespace

import pytest
import torch

from models.errors import ConfigError
from models.records import Completion, Prompt, read_records, write_records
from models.rewards import scorer
from models.rewards.scorer import Members, Scorer
from models.settings.batch import PromptChoice
from models.settings.compute import Compute
from tasks.judging.chosen_prompts import choose_prompts
from tests.tasks.hand_made import make

PROMPTS = [Prompt.of(f"ask {number}", "train") for number in range(3)]
COMPLETIONS = [Completion.of(one.id, text) for one in PROMPTS for text in ("short", "a longer one")]


def choosing(tmp_path, monkeypatch, given: Scorer) -> tuple[list[Prompt], list[Completion]]:
    monkeypatch.setattr(scorer, "load_scorer", lambda folder, compute: given)
    prompts, completions = (make(tmp_path, name, name) for name in ("prompts", "completions"))
    write_records(prompts.folder / "prompts.jsonl", PROMPTS)
    write_records(completions.folder / "completions.jsonl", COMPLETIONS)
    work = SimpleNamespace(folder=tmp_path)
    config = PromptChoice(reward="somewhere", num_prompts=1)
    choose_prompts.__wrapped__(work, config=config, prompts=prompts, completions=completions, compute=Compute())
    return read_records(tmp_path / "prompts.jsonl", Prompt), read_records(tmp_path / "completions.jsonl", Completion)


def test_the_prompt_that_members_disagree_on_is_handed_out_with_its_completions(tmp_path, monkeypatch):
    """One likes it long, the other short, and only at the second prompt."""

    def score(prompts, completions):
        lengths = torch.tensor(
            [len(text) * (prompt == "ask 1") for prompt, text in zip(prompts, completions, strict=True)]
        )
        return torch.stack([lengths.float(), -lengths.float()])

    members = Members(score, lambda scores: scores.mean(dim=0))
    assert choosing(tmp_path, monkeypatch, Scorer(members, members=members)) == (PROMPTS[1:2], COMPLETIONS[2:4])


def test_a_reward_that_is_one_cannot_choose(tmp_path, monkeypatch):
    with pytest.raises(
        ConfigError,
        match=r"batch\.choose\.reward: somewhere has no members .* kind ensemble",
    ):
        choosing(tmp_path, monkeypatch, Scorer(lambda prompts, completions: torch.zeros(len(prompts))))
