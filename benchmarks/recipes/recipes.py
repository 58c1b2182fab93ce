"""What each recipe sets otherwise than the preset of its world, as the command line takes it. Settings were chosen with seed 0."""

from collections.abc import Mapping
from dataclasses import dataclass

LAST = "tuning.keep=last"
"""No judge chooses anything, so that all recipes are compared as they end."""

TINY_BATCHES = "num_updates: 60, batch_size: 64, num_minibatches: 2, learning_rate: 2.0e-4, score_clip: 1.5, missing_end: {score: -1.5}"
LORA = "tuning.lora={rank: 8}"
TINY_THUMBS = (
    "labels={kind: simulated, labelers: [{name: annotator-1, kind: &it simulated_annotator, goes_by: &what helpfulness}, "
    "{name: annotator-2, kind: *it, goes_by: *what}, {name: careless, kind: *it, goes_by: *what, error_rate: 0.25}]}"
)
LANGUAGE_MODEL = "model: {kind: local, base: {model: '${REIN_MODEL}'}}"
FEW_PROMPTS = "prompts.num_prompts=400"
"""A language model is asked about each; on two cores a small one answers two questions a second."""
E2E_THUMBS = "labels={kind: folder, path: '${REIN_THUMBS}', criterion: quality}"
E2E_PPO = (LAST, "tuning.num_updates=20")
E2E_BATCHES = "num_updates: 20, batch_size: 128, num_minibatches: 4, learning_rate: 2.0e-4, kl_budget_nats: 14"


@dataclass(frozen=True)
class World:
    """A preset with its flow, what every recipe sets otherwise than it, and the figures of a policy's own that its judge counts, each in the report
    with `_base` and `_policy`."""

    flow: str
    preset: str
    always: tuple[str, ...]
    counted: tuple[str, ...]
    recipes: Mapping[str, tuple[str, ...]]


def _tuning(settings: str) -> str:
    return f"tuning={{{settings}, keep: last}}"


WORLDS = {
    "tiny": World(
        "rlhf",
        "deployments/tiny.yaml",
        (),
        ("helpful",),
        {
            "ppo": (LAST,),
            "shared_value": (LAST, "tuning.value_model=shared"),
            "upper_layers": (
                LAST,
                "tuning.value_model=shared",
                "tuning.trainable_layers=1",
                "tuning.learning_rate=6.0e-4",
            ),
            "lora": (LAST, LORA, "tuning.learning_rate=2.0e-3", "tuning.value_learning_rate=2.0e-3"),
            "rloo": (_tuning(f"kind: rloo, num_samples: 4, {TINY_BATCHES}, kl: {{kind: fixed, coef: 0.03}}"),),
            "grpo": (_tuning(f"kind: grpo, {TINY_BATCHES}"),),
            "dpo": (_tuning("kind: dpo, beta: 0.1, num_epochs: 2, learning_rate: 1.0e-4"),),
            "rejection_sampling": (_tuning("kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 5.0e-4}"),),
            "random_control": (
                _tuning("kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 5.0e-4}, choose: random"),
            ),
            "rejection_sampling_ppo": (
                "first_tuning={kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 5.0e-4}, keep: last}",
                LAST,
            ),
            "best_of_n": ("tuning={kind: best_of_n, n: 16}",),
            "regression": ("reward.kind=regression", "reward.targets=bradley_terry", LAST),
            "thumbs": (TINY_THUMBS, "reward.kind=thumbs", LAST),
            "classifier": (TINY_THUMBS, "reward.kind=classifier", LAST),
            "personal": (
                "reward={kind: personal, num_epochs: 4, batch_size: 8, learning_rate: 5.0e-4, person: careful-1}",
                LAST,
            ),
            "function": (
                "reward={kind: function, function: 'benchmarks.recipes.word_overlap:reward'}",
                "tuning.min_reward_accuracy=0",
                LAST,
            ),
            # at the preset's 8 prompts a step the reward that learns from both rounds, half of whose labels are close calls, did not fit them (seed 61)
            "iterate": ("reward.batch_size=16", LAST),
            "ai_labels": (
                # a small model says nearly the same of both orders' first: every lean counts, and what it is worth is seen at the end
                f"labels={{kind: ai, labelers: [{{name: model, tie_width: 0, {LANGUAGE_MODEL}}}]}}",
                *(FEW_PROMPTS, "generation.num_completions=2", "tuning.min_reward_accuracy=0", LAST),
            ),
            "judge": (
                f"reward={{kind: judge, {LANGUAGE_MODEL}}}",
                *(FEW_PROMPTS, "tuning.min_reward_accuracy=0", "tuning.num_updates=20", "tuning.batch_size=32", LAST),
            ),
            "mixture": (
                "reward={kind: mixture, parts: {helpful: {reward: &how {num_epochs: 4, batch_size: 8, learning_rate: 5.0e-4}}, brief: {reward: *how}}}",
                "reward.parts.brief.labels={kind: simulated, criterion: brevity, labelers: [{name: terse, goes_by: brevity}]}",
                LAST,
            ),
        },
    ),
    "e2e": World(
        "learn",
        "deployments/e2e.yaml",
        ("evaluation.num_samples=1", "evaluation.references=null"),  # there are many recipes; half the updates, too
        ("facts_missing", "facts_wrong"),
        {
            "ppo": E2E_PPO,
            "shared_value": (*E2E_PPO, "tuning.value_model=shared"),
            "upper_layers": (*E2E_PPO, "tuning.value_model=shared", "tuning.trainable_layers=2"),
            "lora": (*E2E_PPO, LORA, "tuning.learning_rate=2.0e-3", "tuning.value_learning_rate=2.0e-3"),
            "rloo": (_tuning(f"kind: rloo, num_samples: 4, {E2E_BATCHES}, kl: {{kind: fixed, coef: 0.1}}"),),
            "grpo": (_tuning(f"kind: grpo, {E2E_BATCHES}"),),
            "dpo": (_tuning("kind: dpo, beta: 0.1, num_epochs: 2, learning_rate: 1.0e-4"),),
            "rejection_sampling": (_tuning("kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 3.0e-4}"),),
            "random_control": (
                _tuning("kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 3.0e-4}, choose: random"),
            ),
            "rejection_sampling_ppo": (
                "first_tuning={kind: rejection_sampling, num_samples: 8, sft: {learning_rate: 3.0e-4}, keep: last}",
                *E2E_PPO,
            ),
            "best_of_n": ("tuning={kind: best_of_n, n: 16}",),
            "regression": ("reward.kind=regression", *E2E_PPO),
            "thumbs": (E2E_THUMBS, "reward.kind=thumbs", *E2E_PPO),
            "classifier": (E2E_THUMBS, "reward.kind=classifier", *E2E_PPO),
            "function": (
                "reward={kind: function, function: 'benchmarks.recipes.word_overlap:reward'}",
                "tuning.min_reward_accuracy=0",
                *E2E_PPO,
            ),
            "mixture": (
                "reward={kind: mixture, parts: {quality: {reward: &how {num_epochs: 4, batch_size: 8, learning_rate: 3.0e-4}}, naturalness: {reward: *how}}}",
                "reward.parts.naturalness.labels={kind: annotated, path: '${REIN_DATA}/rankings/e2e_naturalness.jsonl', "
                "criterion: naturalness, identical_texts: mean, held_out_column: mr_id}",
                *E2E_PPO,
            ),
        },
    ),
}
TUNERS = (
    *("ppo", "rloo", "grpo", "dpo", "rejection_sampling", "random_control", "rejection_sampling_ppo", "best_of_n"),
)
"""Those that share one reward: what they make of it can be told by its score. The others are rewards, on which PPO tunes."""
