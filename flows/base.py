"""From the configured base model to the one that PPO starts from: domain pretraining and fine-tuning, where asked for.

And the text that PPO mixes in: it is read here, since all data is read before anything is trained.
"""

from models.records import Artifact
from models.settings.pipeline import ScratchBase
from models.settings.sources import FromFeedback
from tasks.running.pipeline_run import PipelineRun
from tasks.stages.base_model import start_base
from tasks.stages.demonstrations import prepare_demonstrations
from tasks.stages.pretraining import pretrain
from tasks.stages.ptx_texts import prepare_ptx_texts
from tasks.stages.sft import fine_tune
from tasks.stages.texts import prepare_texts


def open_base(run: PipelineRun) -> tuple[Artifact, Artifact | None]:
    """The checked base model as configured, before any training, and the texts to pretrain on, if they are known already.

    They are known unless they come from the feedback. A base made from scratch needs them for its tokenizer.
    """
    config = run.config
    texts = None
    if config.pretraining and not isinstance(config.pretraining.source, FromFeedback):
        texts = prepare_texts(run, source=config.pretraining.source, feedback=None, seed=config.seed)
    tokenizer_texts = texts if isinstance(config.base, ScratchBase) else None
    return start_base(run, config=config.base, texts=tokenizer_texts, seed=config.seed), texts


def adapt_base(run: PipelineRun, base: Artifact, texts: Artifact | None, feedback: Artifact | None = None) -> Artifact:
    """The base after pretraining and SFT; either can be left out. All data is read before anything is trained."""
    config = run.config
    demonstrations = None
    if config.pretraining and texts is None:
        texts = prepare_texts(run, source=config.pretraining.source, feedback=feedback, seed=config.seed)
    if config.sft:
        demonstrations = prepare_demonstrations(
            run,
            source=config.sft.source,
            base=base,
            feedback=feedback if isinstance(config.sft.source, FromFeedback) else None,
            split=config.split,
            seed=config.seed,
        )
    if config.pretraining:
        base = pretrain(
            run, config=config.pretraining, base=base, texts=texts, compute=config.compute, seed=config.seed
        )
    if config.sft:
        base = fine_tune(
            run,
            config=config.sft,
            base=base,
            demonstrations=demonstrations,
            compute=config.compute,
            seed=config.seed,
        )
    return base


def read_ptx_texts(run: PipelineRun, feedback: Artifact | None = None) -> Artifact | None:
    """The pretraining text that PPO mixes in, where `ppo.ptx` asks for it."""
    config = run.config
    if config.ppo.ptx is None:
        return None
    return prepare_ptx_texts(
        run,
        source=config.ppo.ptx.source,
        feedback=feedback if isinstance(config.ppo.ptx.source, FromFeedback) else None,
        seed=config.seed,
    )
