"""Flow `rlhf`, the main job: `collect` and `learn` in one go, with simulated labelers that answer at once."""

from typing import Any

from prefect import flow

from flows.base import read_reference_texts, read_tuning_data
from flows.collect import complete, sample
from flows.learn import agree_on_preferences, compare_with_references, hold_back, learn_from_preferences
from models.errors import ConfigError
from models.records import Artifact
from models.settings.labels import LabelKind, SimulatedLabels
from models.settings.pipeline import PipelineConfig
from tasks.judging.evaluation import require_judges
from tasks.judging.people import require_people
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.stages.labels import simulate_labels
from tasks.stages.reward import require_reward


@flow(name="rlhf")
def rlhf(config: PipelineConfig) -> dict[str, Any]:
    """From prompts to a tuned policy without a pause for people."""
    with open_run(config, "rlhf") as run:
        for labels in (config.labels, *(part.labels for part in config.reward.made_of.values() if part.labels)):
            if not isinstance(labels, SimulatedLabels):
                raise ConfigError(f"labels.kind {labels.kind} cannot answer at once; use flows collect and learn")
        start, texts, prompts = sample(run)
        require_judges(config.evaluation, prompts)
        require_people(config)
        require_reward(config.reward, prompts)
        references = read_reference_texts(run, start, prompts)
        data = read_tuning_data(run, start)
        pretrained, base, completions = complete(run, start, texts, prompts)

        def ask(run: PipelineRun, labels: LabelKind) -> Artifact:
            return simulate_labels(run, config=labels, prompts=prompts, completions=completions, seed=config.seed)

        feedback = ask(run, config.labels)
        preferences, held_back = agree_on_preferences(run, feedback, ask), hold_back(run, feedback)
        learned = learn_from_preferences(run, base, preferences, held_back, data)
        compare_with_references(run, references, pretrained, learned)
        return write_report(run, learned.matches, learned.policy)
