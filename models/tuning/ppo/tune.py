"""PPO from folders to a folder."""

from collections.abc import Iterator

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import this_rank
from models.errors import ConfigError
from models.network.lora import merge_adapter, save_adapter
from models.network.networks import ValueModel, load_policy, save_policy
from models.network.precision import round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer, load_scorer
from models.settings.tuning import PPOConfig
from models.tuning.ppo.cost import update_cost as update_cost  # what a tuner may offer
from models.tuning.ppo.loop import train_ppo
from models.tuning.progress import Progress
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: PPOConfig) -> Iterator[StepMetrics]:
    """Writes `model/`, with `lora` also `adapter/`, which is merged into it, progress.jsonl and, with a judge, kept.json; yields the updates."""
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
    progress.write(task.folder)
    if config.lora is not None:
        if this_rank() == 0:
            save_adapter(task.folder / "adapter", policy, tokenizer, task.base)
        merge_adapter(policy)
    save_policy(task.folder / "model", policy, tokenizer, learned_from=task.base, seed=task.seed)


def start_value_model(
    config: PPOConfig, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, scorer: Scorer
) -> ValueModel:
    """Raises ConfigError when it cannot start from the reward, or could not read the policy's tokens."""
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
    """Whether the value model learns on the very weights that it starts from."""
    return config.lora is not None and config.lora.value_model
