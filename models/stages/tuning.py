"""PPO from the folders of a base model, of a reward model and of feedback."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from models.distributed.collectives import this_rank
from models.network.lora import merge_adapter, save_adapter
from models.network.networks import RewardModel, ValueModel, freeze, load_policy, save_policy
from models.network.precision import autocast, pick_device
from models.records import Prompt, StepMetrics, Text, read_records
from models.rewards.pairwise import score_texts
from models.settings.pipeline import Compute
from models.settings.ppo import PPOConfig
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints
from models.tuning.ppo.loop import require_same_tokens, train_ppo


def train(
    folder: Path,
    config: PPOConfig,
    base: Path,
    reward: Path,
    feedback: Path,
    ptx_texts: Path | None,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
) -> Iterator[StepMetrics]:
    """Writes `model/`, the tuned policy, into the folder, and with `lora` `adapter/`, which is merged into it; yields the updates."""
    policy, tokenizer = load_policy(base / "model")
    reward_model, reward_tokenizer = RewardModel.load(reward / "model")
    share_body = config.lora is not None and config.lora.value_model
    if config.value_start == "reward":
        require_same_tokens(tokenizer, reward_tokenizer)
        value_model = ValueModel.from_reward(reward_model, share_body)
    else:
        value_model = ValueModel.from_policy(policy, share_body)
    freeze(reward_model).to(pick_device(compute))

    def score(prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        with autocast(compute):
            return score_texts(reward_model, reward_tokenizer, prompts, completions)

    prompts = [p.text for p in read_records(feedback / "prompts.jsonl", Prompt) if p.split == "train"]
    texts = ptx_texts and [row.text for row in read_records(ptx_texts / "texts.jsonl", Text)]
    yield from train_ppo(policy, value_model, tokenizer, score, prompts, config, compute, seed, checkpoints, texts)
    if config.lora is not None:
        if this_rank() == 0:
            save_adapter(folder / "adapter", policy)
        merge_adapter(policy)
    save_policy(folder / "model", policy, tokenizer)


if __name__ == "__main__":
    run_rank(train)
