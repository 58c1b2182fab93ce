"""Stage `reward`: the reward model, trained on training prompts."""

from models.records import Artifact, Prompt, read_records
from models.settings.compute import Compute
from models.settings.rewards import Reward, RewardKind
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training


@stage(
    "reward",
    kind="reward-model",
    unit="steps",
    reads={
        "feedback": ("prompts.jsonl", "completions.jsonl"),
        "pairs": ("pairs.jsonl",),
        "rankings": ("rankings.jsonl",),
    },
    registered=True,
)
def train_reward_model(
    work: Work,
    config: Reward,
    base: Artifact,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
    draws: Artifact | None = None,
    rankings: Artifact | None = None,
    parts: dict[str, Artifact] | None = None,
) -> int:
    """A folder `model/` with what scores completions; gives back optimizer steps. `parts`: the rewards that it is made of, by name."""
    from models.stages import reward

    inputs = {"base": base, "feedback": feedback, "pairs": pairs, "draws": draws, "rankings": rankings}
    steps = run_training(work, reward.train, config, compute, **inputs, parts=parts, seed=seed)
    if steps:
        work.metrics["reward_loss"] = steps[-1].values["loss"]
    return len(steps)


def require_reward(config: RewardKind, prompts: Artifact) -> None:
    """Raises ConfigError where a reward could not score a completion of the first of these prompts: said before anything is trained."""
    from models.rewards.scorer import probe_reward

    probe_reward(config, read_records(prompts.folder / "prompts.jsonl", Prompt)[0].text)
