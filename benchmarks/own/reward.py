"""One pass of `models.rewards.pairwise.train_reward` over a set of rankings per turn, every completion encoded once.

The clock runs over the optimizer steps. The normalisation that `train_reward` fixes once after its last step is outside of it: the
peer has nothing of the kind.
"""

from benchmarks.scenario import build_rankings, build_scorer, ranked_pairs
from benchmarks.worker import Worker
from models.network.networks import RewardModel
from models.rewards.pairwise import Comparison, train_reward
from models.settings.compute import Compute
from models.settings.rewards import PairwiseReward


def comparison(sequences: list[list[int]]) -> Comparison:
    """A ranking, best completion first, with all its pairs."""
    pairs = ranked_pairs(len(sequences))
    return Comparison(
        sequences=sequences,
        chosen=[better for better, _ in pairs],
        rejected=[worse for _, worse in pairs],
        label=[1.0] * len(pairs),
        weight=[1.0] * len(pairs),
        margin=[0.0] * len(pairs),
    )


def main() -> None:
    """Passes over the rankings, one per turn."""
    worker = Worker()
    num_rankings, batch_size = worker.settings["num_rankings"], worker.settings["batch_size"]
    rankings = build_rankings(num_rankings, worker.settings["num_completions"])
    reward_model = RewardModel(build_scorer(1))
    reward_model.set_normalisation(mean=0.0, std=1.0)
    steps = train_reward(
        reward_model,
        [comparison(sequences) for sequences in rankings],
        PairwiseReward(num_epochs=1000, batch_size=batch_size, learning_rate=1e-7),
        Compute(device="cpu", precision=worker.settings["precision"]),
        seed=0,
    )
    while True:
        worker.wait_for_turn()
        for _ in range(num_rankings // batch_size):
            next(steps)
        worker.report(amount=num_rankings)


if __name__ == "__main__":
    main()
