"""Stage `ppo`: the policy, tuned on score - beta * KL."""

from models.errors import TrainingError
from models.records import Artifact
from models.settings.pipeline import Compute
from models.settings.ppo import PPOConfig
from tasks.running.stage import Work, stage
from tasks.running.storage import read_manifest
from tasks.running.torch_ranks import run_training


@stage("ppo", kind="policy")
def tune_policy(
    work: Work,
    config: PPOConfig,
    base: Artifact,
    reward: Artifact,
    feedback: Artifact,
    ptx_texts: Artifact | None,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` with the tuned policy, and with `ppo.lora` one `adapter/` with the adapter that is merged into it; gives
    back the number of updates.

    Raises TrainingError when the reward model's held-out accuracy is below `min_reward_accuracy`.
    """
    from models.stages import tuning as ppo

    accuracy = read_manifest(reward).metrics["reward_accuracy"]
    if accuracy < config.min_reward_accuracy:
        raise TrainingError(
            f"the reward model's held-out accuracy is {accuracy:.3f}, below ppo.min_reward_accuracy "
            f"{config.min_reward_accuracy}: a policy tuned on it would learn noise"
        )
    inputs = {"base": base, "reward": reward, "feedback": feedback, "ptx_texts": ptx_texts}
    steps = run_training(work, ppo.train, config, compute, **inputs, seed=seed)
    first, last = steps[0].values, steps[-1].values
    work.metrics["ppo_score_first"] = first["objective/scores"]
    work.metrics["ppo_score_last"] = last["objective/scores"]
    work.metrics["ppo_kl_last"] = last["objective/kl"]
    work.metrics["ppo_updates"] = len(steps)
    work.metrics["ppo_stopped_by_kl_budget"] = len(steps) < config.num_updates
    return len(steps)
