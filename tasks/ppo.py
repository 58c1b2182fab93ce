"""Stage `ppo`: the policy, tuned on score - beta * KL."""

from models.config import Compute, PPOConfig
from models.errors import TrainingError
from models.records import Artifact, Prompt, read_records
from tasks.stage import Work, stage
from tasks.storage import read_manifest


@stage("ppo", kind="policy")
def tune_policy(
    work: Work,
    config: PPOConfig,
    base: Artifact,
    reward: Artifact,
    feedback: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` with the tuned policy, and with `ppo.lora` one `adapter/` with the adapter that is merged into it; gives
    back the number of updates.

    Raises TrainingError when the reward model's held-out accuracy is below `min_reward_accuracy`.
    """
    from models.lora import merge_adapter, save_adapter
    from models.networks import RewardModel, ValueModel, freeze, load_policy, save_policy
    from models.optimization import autocast, pick_device
    from models.ppo import require_same_tokens, train_ppo
    from models.reward import score_texts

    accuracy = read_manifest(reward)["metrics"]["reward_accuracy"]
    if accuracy < config.min_reward_accuracy:
        raise TrainingError(
            f"the reward model's held-out accuracy is {accuracy:.3f}, below ppo.min_reward_accuracy "
            f"{config.min_reward_accuracy}: a policy tuned on it would learn noise"
        )
    policy, tokenizer = load_policy(base.folder / "model")
    reward_model, reward_tokenizer = RewardModel.load(reward.folder / "model")
    share_body = config.lora is not None and config.lora.value_model
    if config.value_start == "reward":
        require_same_tokens(tokenizer, reward_tokenizer)
        value_model = ValueModel.from_reward(reward_model, share_body)
    else:
        value_model = ValueModel.from_policy(policy, share_body)
    freeze(reward_model).to(pick_device(compute))

    def score(prompts: list[str], completions: list[str]):
        with autocast(compute):
            return score_texts(reward_model, reward_tokenizer, prompts, completions)

    prompts = [p.text for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "train"]
    checkpoints = work.checkpoints(config.checkpoint_every)
    steps = work.follow(train_ppo(policy, value_model, tokenizer, score, prompts, config, compute, seed, checkpoints))
    if config.lora is not None:
        save_adapter(work.folder / "adapter", policy)
        merge_adapter(policy)
    save_policy(work.folder / "model", policy, tokenizer)
    first, last = steps[0].values, steps[-1].values
    work.metrics["ppo_score_first"] = first["objective/scores"]
    work.metrics["ppo_score_last"] = last["objective/scores"]
    work.metrics["ppo_kl_last"] = last["objective/kl"]
    work.metrics["ppo_updates"] = len(steps)
    work.metrics["ppo_stopped_by_kl_budget"] = len(steps) < config.num_updates
    return len(steps)
