"""Stage `base-model`: the model and tokenizer that everything starts from, checked before any training."""

from models.records import Artifact, Text, read_records
from models.settings.training import PretrainedBase, ScratchBase
from tasks.running.stage import Work, stage


@stage("base-model", kind="language-model", unit="model")
def start_base(work: Work, config: PretrainedBase | ScratchBase, texts: Artifact | None, seed: int) -> int:
    """A folder `model/`: a checked copy of a pretrained model, or a new small one with a tokenizer trained on `texts`."""
    from models.network.base import load_base
    from models.network.networks import build_policy, save_policy, train_tokenizer

    if isinstance(config, ScratchBase):
        assert texts is not None, "the config asks for pretraining when the base is made from scratch"
        rows = read_records(texts.folder / "texts.jsonl", Text)
        tokenizer = train_tokenizer([row.text for row in rows], config.vocab_size)
        model = build_policy(config, tokenizer, seed)
    else:
        model, tokenizer = load_base(config)
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["base_parameters"] = sum(parameter.numel() for parameter in model.parameters())
    work.metrics["vocabulary"] = len(tokenizer)
    return 1
