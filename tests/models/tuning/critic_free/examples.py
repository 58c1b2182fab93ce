"""What the tests of the critic-free tuners share: small settings of both kinds, and a run."""

from models.rewards.scorer import Scorer
from models.settings.scoring.shaping import MissingEnd
from models.settings.tuning import CriticFree, GRPOConfig, RLOOConfig
from models.tuning.critic_free import grpo, rloo
from models.tuning.critic_free.tune import train_without_critic
from tests.models.ppo_examples import PROMPTS, SAMPLING, share_of_letters

KINDS = {"rloo": (RLOOConfig, rloo), "grpo": (GRPOConfig, grpo)}


def config_of(kind: str, **changes) -> CriticFree:
    settings = {
        "num_updates": 2,
        "batch_size": 8,
        "num_samples": 4,
        "num_epochs": 2,
        "num_minibatches": 2,
        "learning_rate": 1e-3,
        "missing_end": MissingEnd(kind="penalty", score=0.0),
    }
    return KINDS[kind][0](**settings | changes)


def run(
    kind, policy, tokenizer, compute, scorer=share_of_letters, prompts=PROMPTS, checkpoints=None, texts=None, **changes
):
    """The updates, as they are made."""
    config = config_of(kind, **changes)
    losses_of = KINDS[kind][1].losses_of
    given = (policy, tokenizer, Scorer(scorer), prompts, config, SAMPLING, compute)
    return train_without_critic(*given, 0, losses_of, checkpoints=checkpoints, ptx_texts=texts)
