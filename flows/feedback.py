"""Feedback that exists already, for the flows that start from it: out of files, out of the store, and what language models add to it."""

from collections.abc import Callable

from models.records import Artifact
from models.settings.asked.labels import AILabels, require_at_once, require_existing
from models.settings.labels import LabelKind, SimulatedLabels, StoredFeedback
from tasks.champion.snapshot import freeze_snapshot
from tasks.judging.ai_labels import ask_models
from tasks.running.pipeline_run import PipelineRun
from tasks.stages.labels import ingest_feedback, simulate_labels

Reading = Callable[[PipelineRun, LabelKind], Artifact]
"""Makes a feedback snapshot of labels."""


def find_source(run: PipelineRun, labels: LabelKind) -> LabelKind:
    """Where rankings that exist already are read from, of the feedback store a snapshot taken now; shared with flow `reward`."""
    require_existing(labels)
    if isinstance(labels, AILabels) and labels.beside:
        return labels.model_copy(update={"beside": find_source(run, labels.beside)})
    return freeze_snapshot(run, labels) if isinstance(labels, StoredFeedback) else labels


def ask_labelers(run: PipelineRun, labels: LabelKind, prompts: Artifact, completions: Artifact) -> Artifact:
    """A feedback snapshot by labelers that are no people, who are asked now. Raises ConfigError for labels that exist already."""
    require_at_once(labels)
    if isinstance(labels, SimulatedLabels):
        return simulate_labels(run, config=labels, prompts=prompts, completions=completions, seed=run.config.seed)
    return ask_models(run, config=labels, prompts=prompts, completions=completions)


def reading(base: Artifact) -> Reading:
    """What makes a feedback snapshot of labels that exist already, which this base can read; shared with flow `reward`."""

    def read(run: PipelineRun, labels: LabelKind) -> Artifact:
        config, source = run.config, find_source(run, labels)
        if isinstance(source, AILabels) and source.beside:
            said = read(run, source.beside)
            return ask_models(run, config=source, prompts=said, completions=said, beside=said)
        given = {"split": config.split, "base": base, "seed": config.seed}
        return ingest_feedback(run, config=source, max_new_tokens=config.sampling.max_new_tokens, **given)

    return read
