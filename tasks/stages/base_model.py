"""Stage `base-model`: the model and tokenizer that everything starts from, checked before any training."""

from models.records import Artifact, Text, read_records
from models.settings.training import PretrainedBase, ScratchBase
from tasks.running.stage import Work, stage


@stage("base-model", kind="language-model", unit="model")
def start_base(work: Work, config: PretrainedBase | ScratchBase, texts: Artifact | None, seed: int) -> int:
    """A folder `model/`: a checked copy of a pretrained model, or a new small one with a tokenizer trained on `texts`."""
    from models.generation.guards import require_faithful
    from models.network.attention import is_padded
    from models.network.base import open_base
    from models.network.networks import save_policy

    rows = read_records(texts.folder / "texts.jsonl", Text) if texts else []
    model, tokenizer = open_base(config, [row.text for row in rows], seed)
    require_faithful(model, tokenizer)
    if is_padded(model):
        work.note(
            f"{type(model).__name__} cannot read sequences one after another: they are padded to rows, which takes longer."
        )
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["base_parameters"] = sum(parameter.numel() for parameter in model.parameters())
    work.metrics["vocabulary"] = len(tokenizer)
    return 1
