"""Stage `sft`: supervised fine-tuning on demonstrations, the loss on the completion alone."""

from models.config import Compute, SFTConfig
from models.records import Artifact, Demonstration, read_records
from tasks.stage import Work, stage


@stage("sft", kind="language-model")
def fine_tune(
    work: Work, config: SFTConfig, base: Artifact, demonstrations: Artifact, compute: Compute, seed: int
) -> int:
    """A folder `model/` with the fine-tuned model; gives back the number of optimizer steps."""
    from models.language import encode_demonstrations, train_language
    from models.networks import load_policy, save_policy

    model, tokenizer = load_policy(base.folder / "model")
    rows = read_records(demonstrations.folder / "demonstrations.jsonl", Demonstration)
    sequences = encode_demonstrations(
        tokenizer, [(row.prompt, row.completion) for row in rows], model.config.max_position_embeddings
    )
    checkpoints = work.checkpoints(config.checkpoint_every)
    steps = work.follow(train_language(model, sequences, config, compute, seed, checkpoints))
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["sft_loss"] = steps[-1].values["loss"]
    return len(steps)
