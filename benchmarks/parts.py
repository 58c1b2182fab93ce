"""What is measured against whom, and in which settings.

`own` and `peer` list the settings that were tried; the first of each list was the fastest where the results in docs/results.md were
measured, and is what `make bench ARGS=--as-listed` takes (benchmarks/results/bench_tried.json).

Precisions of a peer: `float32`; `autocast` (TRL's `bf16=True`: float32 weights, bfloat16 products); `bfloat16` (weights too). Ours:
`float32` and `bfloat16` of `models.settings.pipeline.Compute`, which is autocast; for plain generation the type of the weights.
"""

from dataclasses import dataclass

BATCH_SIZE = 64
TRL_PPO, TRL_REWARD = "trl-1.12.0", "trl-1.16.0"


@dataclass(frozen=True)
class Part:
    """A figure: its name, the ratio that is wanted, its unit of work, and both contenders."""

    name: str
    wanted: float
    unit: str
    own: str
    own_settings: tuple[dict, ...]
    peer: str
    peer_settings: tuple[dict, ...]
    environment: str | None = None
    """The folder in .bench/ whose interpreter runs the peer; None: the project's own."""


def ppo(name: str, wanted: float, ends: bool, value_model: str = "own") -> Part:
    """One PPO update: batch 64, prompt 32, completion 64 tokens, 4 epochs of 4 minibatches, four networks; TRL's are four too where ours are three
    (`value_model` shared)."""
    task = {"ends": ends, "batch_size": BATCH_SIZE}
    return Part(
        name=name,
        wanted=wanted,
        unit="update",
        own="benchmarks.own.ppo",
        own_settings=tuple(
            task | {"precision": precision, "value_model": value_model} for precision in ("bfloat16", "float32")
        ),
        peer="benchmarks.peers.trl_ppo",
        peer_settings=tuple(
            task | {"precision": precision, "rollout_batch_size": rollout_batch_size}
            for precision, rollout_batch_size in (
                ("bfloat16", 64),
                ("bfloat16", 32),
                ("autocast", 64),
                ("float32", 64),
                ("float32", 32),
            )
        ),
        environment=TRL_PPO,
    )


def reward(num_completions: int, wanted: float) -> Part:
    """Reward training from rankings of K completions; both sides pass over the same rankings, about 256 completions a turn."""
    batch_size = 64 // num_completions
    task = {"num_completions": num_completions, "num_rankings": 4 * batch_size}
    return Part(
        name=f"reward_k{num_completions}",
        wanted=wanted,
        unit="ranking",
        own="benchmarks.own.reward",
        own_settings=tuple(
            task | {"batch_size": batch_size, "precision": precision} for precision in ("bfloat16", "float32")
        ),
        peer="benchmarks.peers.trl_reward",
        peer_settings=tuple(
            task | {"batch_size": pairs, "precision": precision, "sampling": sampling}
            for precision, pairs, sampling in (
                ("bfloat16", 32, "group_by_length"),
                ("bfloat16", 16, "group_by_length"),
                ("autocast", 32, "group_by_length"),
                ("float32", 32, "group_by_length"),
                ("float32", 16, "group_by_length"),
                ("float32", 32, "random"),
            )
        ),
        environment=TRL_REWARD,
    )


def generation(name: str, wanted: float, ends: bool, num_prompts: int) -> Part:
    """Completions of 64 tokens at most, batch 64; with more prompts than the batch has rows, `generate` takes them batch by batch."""
    settings = tuple(
        {"ends": ends, "num_prompts": num_prompts, "precision": precision} for precision in ("bfloat16", "float32")
    )
    return Part(
        name=name,
        wanted=wanted,
        unit="token",
        own="benchmarks.own.generation",
        own_settings=settings,
        peer="benchmarks.peers.generate",
        peer_settings=settings,
    )


PARTS = (
    ppo("ppo_full", wanted=2.0, ends=False),
    ppo("ppo_natural", wanted=3.0, ends=True),
    ppo("ppo_full_shared", wanted=2.0, ends=False, value_model="shared"),
    ppo("ppo_natural_shared", wanted=3.0, ends=True, value_model="shared"),
    reward(2, wanted=0.95),
    reward(4, wanted=8.0),
    reward(9, wanted=20.0),
    generation("generate_natural", wanted=3.5, ends=True, num_prompts=64),
    generation("generate_natural_waiting", wanted=1.5, ends=True, num_prompts=128),
    generation("generate_full", wanted=1.0, ends=False, num_prompts=64),
)
