"""What every online tuner leaves in its folder."""

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import this_rank
from models.network.lora import merge_adapter, save_adapter
from models.network.networks import save_policy
from models.settings.tuning import PolicyGradient
from models.tuning.progress import Progress
from models.tuning.tuner import TuningTask


def save_tuned(
    task: TuningTask,
    config: PolicyGradient,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    progress: Progress,
) -> None:
    """Writes `model/`, with `lora` also `adapter/`, which is merged into it, progress.jsonl and, with a judge, kept.json."""
    progress.write(task.folder)
    if config.lora is not None:
        if this_rank() == 0:
            save_adapter(task.folder / "adapter", policy, tokenizer, task.base)
        merge_adapter(policy)
    save_policy(task.folder / "model", policy, tokenizer, learned_from=task.base, seed=task.seed)
