"""Flow `rlhf`, the main job: `collect` and `learn` in one go, with labelers that are no people: simulated ones, or language models."""

from dataclasses import dataclass
from typing import Any

from prefect import flow

from flows.base import TuningData, read_reference_texts, read_tuning_data
from flows.collect import complete, sample
from flows.feedback import Reading, ask_labelers
from flows.learn import agree_on_preferences, compare_with_references, hold_back, learn_from_preferences
from models.judge_model.reach import reaching
from models.records import Artifact
from models.settings.asked.labels import require_at_once
from models.settings.labels import LabelKind
from models.settings.pipeline import PipelineConfig
from tasks.judging.evaluation import require_judges
from tasks.judging.people import require_people
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.stages.reward import require_reward


@dataclass(frozen=True)
class Beginning:
    """What is read before anything is made: the base as configured (`start`), the texts to pretrain it on, the sampled prompts, what people wrote to
    held-out ones of them, and what tuning needs besides."""

    start: Artifact
    texts: Artifact | None
    prompts: Artifact
    references: Artifact | None
    data: dict[str, TuningData]


@flow(name="rlhf")
def rlhf(config: PipelineConfig) -> dict[str, Any]:
    """From prompts to a tuned policy without a pause for people."""
    with open_run(config, "rlhf") as run:
        read = begin(run)
        pretrained, base, completions = complete(run, read.start, read.texts, read.prompts)
        ask = asking(read.prompts, completions)
        feedback = ask(run, config.labels)
        preferences, held_back = agree_on_preferences(run, feedback, ask), hold_back(run, feedback)
        run.before_making = reaching(config.reward, config.evaluation)  # labels are there
        learned = learn_from_preferences(run, base, preferences, held_back, read.data)
        compare_with_references(run, read.references, pretrained, learned)
        return write_report(run, learned.matches, learned.policy)


def begin(run: PipelineRun) -> Beginning:
    """Reads all that can be read before anything is made, and sees that all that is asked can answer; shared with flow `iterate`.

    Raises ConfigError for labels, of the run or of a part of its reward, that cannot answer at once.
    """
    config = run.config
    all_labels = (config.labels, *(part.labels for part in config.reward.made_of.values() if part.labels))
    for labels in all_labels:
        require_at_once(labels)
    run.before_making = reaching(*all_labels, config.reward, config.evaluation)
    start, texts, prompts = sample(run)
    require_judges(config.evaluation, prompts)
    require_people(config)
    require_reward(config.reward, prompts)
    return Beginning(start, texts, prompts, read_reference_texts(run, start, prompts), read_tuning_data(run, start))


def asking(prompts: Artifact, completions: Artifact) -> Reading:
    """What asks labelers who answer at once about these completions; shared with flow `iterate`."""

    def ask(run: PipelineRun, labels: LabelKind) -> Artifact:
        return ask_labelers(run, labels, prompts, completions)

    return ask
