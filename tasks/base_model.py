"""Stage `base-model`: the model and tokenizer that everything starts from, checked before any training."""

from models.config import PretrainedBase, ScratchBase
from models.sources import TextSource
from tasks.sources import read_texts
from tasks.stage import Work, stage


@stage("base-model", kind="language-model")
def start_base(
    work: Work,
    config: PretrainedBase | ScratchBase,
    source: TextSource | None,
    seed: int,
) -> int:
    """A folder `model/`: a checked copy of a pretrained model, or a new small one with a tokenizer trained on `source`."""
    from models.networks import build_policy, load_base, save_policy, train_tokenizer

    if isinstance(config, ScratchBase):
        assert source is not None, "the config asks for pretraining when the base is made from scratch"
        tokenizer = train_tokenizer(read_texts(source, seed, feedback=None), config.vocab_size)
        model = build_policy(config, tokenizer, seed)
    else:
        model, tokenizer = load_base(config)
    save_policy(work.folder / "model", model, tokenizer)
    work.metrics["base_parameters"] = sum(parameter.numel() for parameter in model.parameters())
    work.metrics["vocabulary"] = len(tokenizer)
    return 1
