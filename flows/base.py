"""From the configured base model to the one that PPO starts from: domain pretraining and fine-tuning, where asked for."""

from models.records import Artifact
from models.sources import FromFeedback
from tasks.base_model import start_base
from tasks.pipeline_run import PipelineRun
from tasks.pretraining import pretrain
from tasks.sft import fine_tune


def open_base(run: PipelineRun) -> Artifact:
    """The checked base model as configured, before any training."""
    config = run.config
    source = config.pretraining.source if config.pretraining else None
    return start_base(run, config=config.base, source=source, seed=config.seed)


def adapt_base(run: PipelineRun, base: Artifact, feedback: Artifact | None = None) -> Artifact:
    """The base after pretraining and SFT; either can be left out. Only a stage that reads the feedback is given it."""
    config = run.config
    if config.pretraining:
        base = pretrain(
            run,
            config=config.pretraining,
            base=base,
            feedback=feedback if isinstance(config.pretraining.source, FromFeedback) else None,
            compute=config.compute,
            seed=config.seed,
        )
    if config.sft:
        base = fine_tune(
            run,
            config=config.sft,
            base=base,
            feedback=feedback if isinstance(config.sft.source, FromFeedback) else None,
            split=config.split,
            compute=config.compute,
            seed=config.seed,
        )
    return base
