"""Stage `pretraining`: causal language modelling on raw text of the domain."""

from models.config import Compute, PretrainingConfig
from models.errors import ConfigError
from models.records import Artifact, Text, read_records
from tasks.stage import Work, stage


@stage("pretraining", kind="language-model")
def pretrain(
    work: Work, config: PretrainingConfig, base: Artifact, texts: Artifact, compute: Compute, seed: int
) -> int:
    """A folder `model/` with the domain-adapted model; gives back the number of optimizer steps."""
    from models.language import pack_texts, train_language
    from models.networks import load_policy, save_policy

    model, tokenizer = load_policy(base.folder / "model")
    context_length = model.config.max_position_embeddings
    if config.sequence_length > context_length:
        raise ConfigError(f"pretraining.sequence_length exceeds the {context_length} tokens that the base model reads")
    sequences = pack_texts(
        tokenizer, [row.text for row in read_records(texts.folder / "texts.jsonl", Text)], config.sequence_length
    )
    checkpoints = work.checkpoints(config.checkpoint_every)
    steps = work.follow(train_language(model, sequences, config, compute, seed, checkpoints))
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["pretraining_loss"] = steps[-1].values["loss"]
    work.metrics["pretraining_sequences"] = len(sequences)
    return len(steps)
