"""PPO from folders to a folder."""

from collections.abc import Iterator

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.errors import ConfigError
from models.network.networks import ValueModel, load_policy
from models.network.precision import round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer, load_scorer
from models.settings.tuning import PPOConfig
from models.tuning.online.cost import update_cost as update_cost  # what a tuner may offer
from models.tuning.online.save import save_tuned
from models.tuning.online.values import CriticNetwork, ValueHead
from models.tuning.ppo.loop import train_ppo
from models.tuning.progress import Progress
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: PPOConfig) -> Iterator[StepMetrics]:
    """Writes what `save_tuned` says; yields the updates."""
    policy, tokenizer = load_policy(task.base)
    scorer = load_scorer(task.reward, task.compute)
    value_model = start_value_model(config, policy, tokenizer, scorer)
    if scorer.network is not None and not _shares_body(config):
        round_frozen(scorer.network, task.compute)
    progress = Progress(tokenizer, task.validation_prompts, task.sampling, config, task.seed, task.judge)
    yield from train_ppo(
        policy,
        value_model,
        tokenizer,
        scorer,
        task.prompts,
        config,
        task.sampling,
        task.compute,
        task.seed,
        checkpoints=task.checkpoints,
        ptx_texts=task.texts,
        progress=progress,
    )
    save_tuned(task, config, policy, tokenizer, progress)


def start_value_model(
    config: PPOConfig, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, scorer: Scorer
) -> CriticNetwork:
    """Raises ConfigError when it cannot start from the reward, or could not read the policy's tokens."""
    if config.value_model == "shared":
        return ValueHead(policy)
    share_body = _shares_body(config)
    if (config.value_start or ("policy" if scorer.network is None else "reward")) == "policy":
        return ValueModel.from_policy(policy, share_body)
    if scorer.network is None or scorer.tokenizer is None:
        raise ConfigError("tuning.value_start is reward, but this kind of reward has no network; set it to policy")
    if tokenizer.get_vocab() != scorer.tokenizer.get_vocab():
        raise ConfigError(
            "the value model would start from the reward model, which has another tokenizer than the policy; set tuning.value_start to policy"
        )
    return ValueModel.from_reward(scorer.network, share_body)


def _shares_body(config: PPOConfig) -> bool:
    """Whether a value model learns on the very weights that it starts from."""
    return config.value_model == "own" and config.lora is not None and config.lora.value_model
