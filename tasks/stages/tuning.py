"""Stage `tuning`: the policy, tuned on the reward."""

import json

from models.errors import DataError
from models.evaluation.progress_sample import KEPT
from models.records import Artifact, Prompt, StepMetrics, read_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import JudgeKind
from models.settings.tuning import Tuning
from tasks.running.stage import Work, stage
from tasks.running.storage import read_manifest
from tasks.running.torch_ranks import run_training


@stage(
    "tuning",
    kind="policy",
    unit="updates",
    curves="",
    reads={"feedback": ("prompts.jsonl",), "completions": ("completions.jsonl",), "pairs": ("pairs.jsonl",)},
    registered=True,
)
def tune_policy(
    work: Work,
    config: Tuning,
    sampling: SamplingConfig,
    base: Artifact,
    reward: Artifact,
    judge: JudgeKind | None,
    held_out_reward: Artifact | None,
    feedback: Artifact,
    prompts: Artifact | None,
    texts: Artifact | None,
    compute: Compute,
    seed: int,
    completions: Artifact | None = None,
    pairs: Artifact | None = None,
) -> int:
    """A folder `model/` with the tuned policy, and what its kind adds. `judge` chooses which one on the way it is; `pairs`, and the
    `completions` that they name, are for a kind that reads them. Gives back the number of updates."""
    from models.stages import tuning

    inputs = {"base": base, "reward": reward, "feedback": feedback, "prompts": prompts, "texts": texts}
    inputs |= {"completions": completions, "pairs": pairs}
    chooser = {"judge": judge, "held_out_reward": held_out_reward}
    steps = run_training(work, tuning.train, config, compute, **inputs, **chooser, sampling=sampling, seed=seed)
    work.metrics["tuning_updates"] = len(steps)
    kept = work.folder / KEPT
    told = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if steps:
        work.metrics |= _figures(steps, told.get("stopped_without_gain", False))
    if told:
        work.metrics["tuning_kept_update"] = told["update"]
    if chose := judge.kind if told and judge else read_manifest(base).metrics.get("tuning_kept_by"):
        work.metrics["tuning_kept_by"] = chose  # it had its say also where it chose what this tuning goes on from
    return len(steps)


def _figures(steps: list[StepMetrics], stopped_without_gain: bool) -> dict[str, float | bool]:
    first, last = steps[0].values, steps[-1].values
    figures = {
        "tuning_score_first": first.get("objective/scores"),
        "tuning_score_last": last.get("objective/scores"),
        "tuning_kl_last": last.get("objective/kl"),
        "tuning_stopped_without_gain": stopped_without_gain,
        "tuning_stopped_by_kl_budget": len(steps) < steps[-1].num_steps and not stopped_without_gain,
    }
    return {name: value for name, value in figures.items() if value is not None}


def require_prompts(feedback: Artifact) -> None:
    """Raises DataError for feedback on texts that stand by themselves, without any prompt to tune on or to judge by."""
    if not read_records(feedback.folder / "prompts.jsonl", Prompt):
        raise DataError("this feedback has no prompts to tune a policy on; `rein reward` makes a reward of it")
