"""How far a policy can please its reward before others like it less: best-of-n and PPO on the E2E challenge's rankings.

    export REIN_DATA=/path/to/data
    .venv/bin/python -m benchmarks.overoptimization --seeds 51 52 53

For each seed, for 5 %, 25 % and 100 % of the rankings of training prompts (`--shares .05`: for these alone), and for one reward model and an
ensemble of five (mean minus variance, and minimum; `--rewards`: these alone): flow `learn` with a weak KL penalty and the last policy kept (with one reward model and 5 % also
the best); then the best of n of the base's completions of held-out prompts. Score and both independent judges against KL, with the forms that
Gao et al. 2022 fitted. Runs of a seed share their base. Writes benchmarks/results/overoptimization.json after each one, where other rows
stay, and docs/pictures/overoptimization.svg at the end.
"""

import argparse
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.overoptimization.curves import best_of_n_means, fall_from_peak, fit_form
from benchmarks.overoptimization.picture import draw
from benchmarks.trials import PROJECT, circumstances, keep, read_rows, run_flow
from models.evaluation.metrics import best_of_n_kl_bound
from models.preferences.splits import assign_split
from models.records import StepMetrics, read_records
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config

PRESET = PROJECT / "deployments" / "e2e.yaml"
RESULTS = PROJECT / "benchmarks" / "results" / "overoptimization.json"
PICTURE = PROJECT / "docs" / "pictures" / "overoptimization.svg"
SHARES = (0.05, 0.25, 1.0)
ENSEMBLE = ("reward.kind=ensemble", "reward.num_members=5")
REWARDS = {
    "one reward model": (),
    "ensemble of 5, mean minus variance": (*ENSEMBLE, "reward.aggregate=mean_minus_variance"),
    "ensemble of 5, minimum": (*ENSEMBLE, "reward.aggregate=minimum"),
}
PLACE = ("seed", "share_of_rankings", "reward")
JUDGES = ("restaurant_facts", "held_out_reward")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LOOSE = ("tuning.keep=last", "tuning.kl.coef=0.005", "tuning.kl_budget_nats=null", "evaluation.references=null")


def thinned(config: PipelineConfig, share: float, seed: int, folder: Path) -> Path:
    """The file of rankings with this share of those by which the reward learns: of training prompts, by people who are not held out."""
    labels, rest = config.labels, config.split.model_copy(update={"test": 0})
    target = folder / f"{share}.jsonl"
    with Path(labels.path).open(encoding="utf-8") as file, target.open("w", encoding="utf-8") as out:
        for line in file:
            row = json.loads(line)
            is_test = row[labels.held_out_column] % labels.held_out_modulus < labels.held_out_below
            if not is_test and assign_split(row["prompt"], rest, seed) == "train":
                row["annotations"] = [one for one in row["annotations"] if _stays(row, one, config, share, seed)]
            if row["annotations"]:
                out.write(json.dumps(row) + "\n")
    return target


def _stays(
    row: Mapping[str, Any], annotation: Mapping[str, Any], config: PipelineConfig, share: float, seed: int
) -> bool:
    if str(annotation["annotator"]) in config.consensus.held_out_labelers:
        return True
    digest = hashlib.sha256(f"{seed}:{row['id']}:{annotation['annotator']}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def ppo_curves(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of each check but the last, whose KL is not known: KL of the batch that was learned from, mean score, win rates of the judges."""
    checks, updates = (
        read_records(Path(report["artifacts"][stage]) / "steps.jsonl", StepMetrics)
        for stage in ("evaluation", "tuning")
    )
    kl = {step.step: max(0.0, step.values["objective/kl"]) for step in updates}
    known = [step for step in checks if step.step in kl]
    return described(
        [kl[step.step] for step in known],
        [step.values["score"] for step in known],
        {judge: [step.values[f"{judge}/win_rate"] for step in known] for judge in JUDGES},
        is_best_of_n=False,
    )


def of_held_out_prompts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the report says of the policy of `update` (None: the last), by each judge, and of the checks on the way to it."""
    told = ("kl_nats", "score_policy", "facts_missing_policy", "facts_wrong_policy", "peak_update", "over_optimised")
    judged = {judge: report["judges"][judge]["win_rate"] for judge in JUDGES}
    return {name: report[name] for name in told} | judged | {"update": report.get("tuning_kept_update")}


def described(
    kl: Sequence[float], score: Sequence[float], judged: Mapping[str, Sequence[float]], *, is_best_of_n: bool
) -> dict[str, Any]:
    """Curves with the fits of what each judge gains, and how far that falls from its peak."""
    distances = [math.sqrt(nats) for nats in kl]
    of_judges = {
        judge: {
            "win_rate": list(rates),
            "fit": fit_form(distances, [rate - 0.5 for rate in rates], is_best_of_n=is_best_of_n).model_dump(),
            "fall_from_peak": fall_from_peak(rates),
        }
        for judge, rates in judged.items()
    }
    return {"kl_nats": list(kl), "score": list(score), "judges": of_judges}


class Drawn:
    """The base's completions of held-out prompts, N of each in a row, with the share of the prompt's others that each judge likes less."""

    def __init__(self, config: PipelineConfig, report: Mapping[str, Any], num_prompts: int) -> None:
        from models.evaluation.judges.judge import Material
        from models.evaluation.writer import load_writer
        from models.network.precision import autocast
        from models.records import Prompt

        made = {stage: Path(folder) for stage, folder in report["artifacts"].items()}
        base = load_writer(made["sft"] / "model", config.compute)
        held_out = [p.text for p in read_records(made["feedback"] / "prompts.jsonl", Prompt) if p.split == "test"]
        self.prompts = [prompt for prompt in held_out[:num_prompts] for _ in range(SIZES[-1])]
        with autocast(config.compute):
            drawn = base.complete(self.prompts, config.sampling, config.seed)
        self.texts = [sample.text for sample in drawn]
        material = Material(held_out_reward=made["held-out-reward"] / "model")
        self.liked = {}
        for kind in (one for one in config.evaluation.judges if one.kind in JUDGES):
            judge = kind.load_module().open_judge(kind, material, config.compute)
            grades = np.reshape(judge.grade(self.prompts, self.texts), (-1, SIZES[-1]))
            self.liked[kind.kind] = (rankdata(grades, axis=1) - 1) / (SIZES[-1] - 1)

    def best_of_n(self, config: PipelineConfig, report: Mapping[str, Any]) -> dict[str, Any]:
        """Curves of the best of n by a run's reward, against the bound of its KL."""
        from models.rewards.scorer import load_scorer

        folder = Path(report["artifacts"]["reward"]) / "model"
        scores = np.reshape(load_scorer(folder, config.compute).score(self.prompts, self.texts), (-1, SIZES[-1]))

        def means(values: np.ndarray) -> list[float]:
            return np.mean(
                [best_of_n_means(*rows, SIZES) for rows in zip(scores, values, strict=True)], axis=0
            ).tolist()

        judged = {judge: means(liked) for judge, liked in self.liked.items()}
        kl = [best_of_n_kl_bound(n) for n in SIZES]
        return {"n": list(SIZES)} | described(kl, means(scores), judged, is_best_of_n=True)


def rows_of_seed(
    seed: int,
    shares: Sequence[float],
    rewards: Sequence[str],
    folder: Path,
    num_prompts: int,
    overrides: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """A row for each of these shares of the rankings and each of these rewards."""
    config = load_config(PRESET, [*overrides, f"seed={seed}"])
    outputs = config.sft.source.path
    prompts = f"tuning.prompts={{source: {{kind: file, path: {outputs}, column: prompt}}, num_prompts: 630}}"
    drawn = None
    for share in shares:
        path = thinned(config, share, seed, folder)
        for reward in rewards:
            asked = REWARDS[reward]
            given = (*LOOSE, prompts, f"labels.path={path}", f"seed={seed}", *asked, *overrides)
            report = run_flow("learn", str(PRESET), given, folder / ".rein")
            drawn = drawn or Drawn(config, report, num_prompts)
            row = {
                "seed": seed,
                "share_of_rankings": share,
                "reward": reward,
                "reward_accuracy_held_out": report["reward_labeler_accuracy"],
                "ppo": ppo_curves(report),
                "last_policy": of_held_out_prompts(report),
                "best_of_n": drawn.best_of_n(config, report),
            }
            if share == min(SHARES) and not asked:
                row["kept_policy"] = of_held_out_prompts(
                    run_flow("learn", str(PRESET), [*given, "tuning.keep=best"], folder / ".rein")
                )
            yield row


def main() -> None:
    """Reads the command line, runs, writes and draws what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the rankings of training prompts")
    parser.add_argument("--rewards", nargs="+", choices=REWARDS, default=list(REWARDS))
    parser.add_argument("--prompts", type=int, default=100, help="held-out prompts of best-of-n")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            asked = (arguments.shares, arguments.rewards, Path(folder), arguments.prompts, arguments.overrides)
            for row in rows_of_seed(seed, *asked):
                keep(RESULTS, circumstances() | row, PLACE)
    draw(read_rows(RESULTS), PICTURE)
