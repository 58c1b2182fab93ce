"""Stage `reward`: the reward model, trained on training prompts."""

from models.preferences.own_pair import OwnPair
from models.preferences.ratings import read_votes
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
        "votes": ("prompts.jsonl", "completions.jsonl", "ratings.jsonl", "class_votes.jsonl"),
        "own_pairs": ("own_pairs.jsonl",),
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
    votes: Artifact | None = None,
    own_pairs: Artifact | None = None,
) -> int:
    """A folder `model/` with what scores completions; gives back optimizer steps. `parts`: the rewards that it is made of, by name."""
    from models.stages import reward

    said = {"pairs": pairs, "draws": draws, "rankings": rankings, "votes": votes, "own_pairs": own_pairs}
    steps = run_training(
        work, reward.train, config, compute, base=base, feedback=feedback, **said, parts=parts, seed=seed
    )
    if steps:
        work.metrics["reward_loss"] = steps[-1].values["loss"]
    return len(steps)


def require_reward(config: RewardKind, prompts: Artifact) -> None:
    """Raises ConfigError where a reward could not score a completion of the first of these prompts: said before anything is trained."""
    from models.rewards.scorer import probe_reward

    for prompt in read_records(prompts.folder / "prompts.jsonl", Prompt)[:1]:
        probe_reward(config, prompt.text)


def require_votes(config: RewardKind, feedback: Artifact) -> None:
    """Raises DataError where a reward learns from votes on single texts, and cannot learn from these: said before anything is trained."""
    if config.reads_votes:
        config.require_votes(read_votes(feedback.folder))


def require_own_pairs(config: RewardKind, own_pairs: Artifact, feedback: Artifact) -> None:
    """Raises DataError where a reward cannot learn from these pairs of labelers' own: said before anything is trained."""
    pairs = read_records(own_pairs.folder / "own_pairs.jsonl", OwnPair)
    sides = {one.id: one.split for one in read_records(feedback.folder / "prompts.jsonl", Prompt)}
    config.load_module().require_own_pairs(config, pairs, sides)
