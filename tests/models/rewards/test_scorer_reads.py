"""What a model wrote and its reward cannot read ends no run, wherever it is scored."""

import torch

from models.evaluation.judges import held_out_reward, own_reward
from models.evaluation.judges.judge import Material
from models.rewards.pairwise import load
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.judges import HeldOutReward, OwnReward

HALVES = "\ufffd" * 60
"""Sixty halves of letters: sixty tokens when they are sampled, 180 when the text is read again; the reward model reads 96."""


def test_what_cannot_be_read_is_scored_as_an_empty_completion(reward_model, tokenizer, tmp_path, monkeypatch):
    reward_model.save(tmp_path, tokenizer)
    scorer: Scorer = load(tmp_path, Compute(precision="float32"))
    prompts, texts = ["the lamp"] * 3, ["change the bulb", HALVES, ""]
    assert scorer.readable(prompts, texts) == ["change the bulb", "", ""]
    scores = scorer.score_samples(prompts, texts)
    assert scores[1] == scores[2] and scores[0] != scores[1]
    for module, config, given in (
        (own_reward, OwnReward(), {"rewards": [tmp_path]}),
        (held_out_reward, HeldOutReward(), {"held_out_reward": tmp_path}),
    ):
        monkeypatch.setattr(module, "load_scorer", lambda folder, compute: load(folder, compute))
        judge = module.open_judge(config, Material(**given), Compute(precision="float32"))
        assert torch.equal(torch.tensor(judge.grade(prompts, texts)), scores)
