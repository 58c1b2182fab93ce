"""From the configured base model to the one that PPO starts from: domain pretraining and fine-tuning, where asked for.

And what tuning needs besides feedback, its own prompts and text: it is read here, since all data is read before anything is trained.
"""

from dataclasses import dataclass

from models.records import Artifact
from models.settings.training import ScratchBase
from models.settings.tuning import TuningKind
from tasks.judging.references import read_references
from tasks.running.pipeline_run import PipelineRun
from tasks.stages.base_model import start_base
from tasks.stages.demonstrations import prepare_demonstrations
from tasks.stages.pretraining import pretrain
from tasks.stages.prompts import sample_tuning_prompts
from tasks.stages.sft import fine_tune
from tasks.stages.texts import prepare_texts, prepare_tuning_texts


def open_base(run: PipelineRun) -> tuple[Artifact, Artifact | None]:
    """The checked base model as configured, before any training, and the texts to pretrain on, if they are known already.

    They are known unless they come from the feedback. A base made from scratch needs them for its tokenizer.
    """
    config = run.config
    texts = None
    if config.pretraining and not config.pretraining.source.from_feedback:
        texts = prepare_texts(run, source=config.pretraining.source, feedback=None, seed=config.seed)
    tokenizer_texts = texts if isinstance(config.base, ScratchBase) else None
    return start_base(run, config=config.base, texts=tokenizer_texts, seed=config.seed), texts


def adapt_base(
    run: PipelineRun,
    base: Artifact,
    texts: Artifact | None,
    feedback: Artifact | None = None,
    sides: Artifact | None = None,
) -> tuple[Artifact, Artifact]:
    """The base after pretraining, and after SFT; either can be left out. All data is read before anything is trained.

    `feedback`: what is learned from, where it is known already; `sides`: all of it, which says what is held out.
    """
    config = run.config
    demonstrations = None
    if config.pretraining and texts is None:
        texts = prepare_texts(run, source=config.pretraining.source, feedback=feedback, seed=config.seed)
    if config.sft:
        demonstrations = prepare_demonstrations(
            run,
            source=config.sft.source,
            base=base,
            feedback=feedback if config.sft.source.from_feedback else None,
            sides=sides,
            split=config.split,
            seed=config.seed,
        )
    if config.pretraining:
        base = pretrain(
            run, config=config.pretraining, base=base, texts=texts, compute=config.compute, seed=config.seed
        )
    pretrained = base
    if config.sft:
        base = fine_tune(
            run,
            config=config.sft,
            base=base,
            demonstrations=demonstrations,
            compute=config.compute,
            seed=config.seed,
        )
    return pretrained, base


def read_reference_texts(run: PipelineRun, base: Artifact, prompts: Artifact) -> Artifact | None:
    """What people wrote to the held-out ones among these prompts; None where the settings ask for no comparison with it."""
    source = run.config.evaluation.references
    if source is None:
        return None
    return read_references(run, source=source, base=base, prompts=prompts, seed=run.config.seed)


@dataclass(frozen=True)
class TuningData:
    """What the policy is tuned on besides the feedback; None where the settings ask for none."""

    prompts: Artifact | None
    texts: Artifact | None


def read_tuning_data(
    run: PipelineRun, base: Artifact, feedback: Artifact | None = None, sides: Artifact | None = None
) -> dict[str, TuningData]:
    """Of each tuning, by its setting, what `read_data_of` gives."""
    return {name: read_data_of(run, tuning, base, feedback, sides) for name, tuning in run.config.tunings.items()}


def read_data_of(
    run: PipelineRun, tuning: TuningKind, base: Artifact, feedback: Artifact | None, sides: Artifact | None
) -> TuningData:
    """The prompts of the tuning's `prompts`, which must leave room in the base's context, and the text that it asks for.

    `feedback` and `sides` as `adapt_base` has them.
    """
    config, source = run.config, tuning.text_source
    prompts = texts = None
    if tuning.prompts is not None:
        prompts = sample_tuning_prompts(
            run,
            config=tuning.prompts,
            split=config.split,
            base=base,
            sides=sides,
            max_new_tokens=config.sampling.max_new_tokens,
            seed=config.seed,
        )
    if source is not None:
        texts = prepare_tuning_texts(
            run, source=source, feedback=feedback if source.from_feedback else None, seed=config.seed
        )
    return TuningData(prompts, texts)
