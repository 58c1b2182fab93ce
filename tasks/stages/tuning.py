"""Stage `tuning`: the policy, tuned on the reward."""

from models.records import Artifact, StepMetrics
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import Tuning
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training


@stage(
    "tuning",
    kind="policy",
    unit="updates",
    curves="",
    reads={"feedback": ("prompts.jsonl",)},
    registered=True,
)
def tune_policy(
    work: Work,
    config: Tuning,
    sampling: SamplingConfig,
    base: Artifact,
    reward: Artifact,
    feedback: Artifact,
    prompts: Artifact | None,
    texts: Artifact | None,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` with the tuned policy, and what its kind adds; gives back the number of updates."""
    from models.stages import tuning

    inputs = {"base": base, "reward": reward, "feedback": feedback, "prompts": prompts, "texts": texts}
    steps = run_training(work, tuning.train, config, compute, **inputs, sampling=sampling, seed=seed)
    work.metrics["tuning_updates"] = len(steps)
    if steps:
        work.metrics |= _figures(steps)
    return len(steps)


def _figures(steps: list[StepMetrics]) -> dict[str, float | bool]:
    first, last = steps[0].values, steps[-1].values
    figures = {
        "tuning_score_first": first.get("objective/scores"),
        "tuning_score_last": last.get("objective/scores"),
        "tuning_kl_last": last.get("objective/kl"),
        "tuning_stopped_by_kl_budget": len(steps) < steps[-1].num_steps,
    }
    return {name: value for name, value in figures.items() if value is not None}
