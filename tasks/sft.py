"""Stage `sft`: supervised fine-tuning on demonstrations, the loss on the completion alone."""

from models.config import Compute, SFTConfig, SplitConfig
from models.errors import DataError
from models.records import Artifact
from models.sources import FromFeedback
from models.splits import assign_split
from tasks.sources import read_demonstrations
from tasks.stage import Work, stage


@stage("sft", kind="language-model")
def fine_tune(
    work: Work,
    config: SFTConfig,
    base: Artifact,
    feedback: Artifact | None,
    split: SplitConfig,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` with the fine-tuned model; gives back the number of optimizer steps.

    Demonstrations whose prompt is held out are left aside, and counted: no prompt stands on both sides. (Those that come
    from the feedback are of training prompts already; the feedback brings its own split.)
    """
    from models.language import encode_demonstrations, train_language
    from models.networks import load_policy, save_policy

    model, tokenizer = load_policy(base.folder / "model")
    demonstrations = read_demonstrations(config.source, seed, feedback)
    kept = demonstrations
    if not isinstance(config.source, FromFeedback):
        kept = [row for row in demonstrations if assign_split(row[0], split, seed) == "train"]
    if not kept:
        raise DataError("no demonstration is left: the prompts of all of them are held out")
    sequences = encode_demonstrations(tokenizer, kept, model.config.max_position_embeddings)
    steps = work.follow(train_language(model, sequences, tokenizer.pad_token_id, config, compute, seed))
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["sft_loss"] = steps[-1].values["loss"]
    work.metrics["sft_demonstrations"] = len(kept)
    work.metrics["sft_held_out_demonstrations"] = len(demonstrations) - len(kept)
    return len(steps)
