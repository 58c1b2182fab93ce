"""Stages `labels` (simulated labelers rank) and `feedback` (rankings that people made are read). Both give a feedback snapshot:

a folder with prompts.jsonl, completions.jsonl and rankings.jsonl, from which everything after it can be recomputed.
"""

from labeling.feedback import Feedback
from labeling.importers import read_annotated_file, read_feedback_folder
from labeling.simulated import rank_completions
from models.config import AnnotatedFile, FeedbackFolder, SimulatedLabels
from models.records import Artifact, Completion, Prompt, read_records, write_records
from tasks.prompts import require_room
from tasks.stage import Work, stage


@stage("labels", kind="feedback")
def simulate_labels(work: Work, config: SimulatedLabels, prompts: Artifact, completions: Artifact, seed: int) -> int:
    """A feedback snapshot whose rankings come from simulated labelers. Prompts without completions are left out."""
    ranked = read_records(completions.folder / "completions.jsonl", Completion)
    named = {completion.prompt_id for completion in ranked}
    asked = [prompt for prompt in read_records(prompts.folder / "prompts.jsonl", Prompt) if prompt.id in named]
    rankings = rank_completions(config, asked, ranked, seed)
    work.note(f"**Simulated** labelers, not people: {', '.join(labeler.name for labeler in config.labelers)}")
    return write_feedback(work, Feedback(asked, ranked, rankings))


@stage("feedback", kind="feedback")
def ingest_feedback(work: Work, config: FeedbackFolder | AnnotatedFile, base: Artifact, max_new_tokens: int) -> int:
    """A feedback snapshot of rankings that exist already. Raises DataError that names every bad row, and for prompts that leave
    no room in the base model's context."""
    read = read_feedback_folder if isinstance(config, FeedbackFolder) else read_annotated_file
    feedback = read(config)
    require_room(base, [prompt.text for prompt in feedback.prompts], max_new_tokens)
    return write_feedback(work, feedback)


def write_feedback(work: Work, feedback: Feedback) -> int:
    """Writes the three files and gives back the number of rankings."""
    write_records(work.folder / "prompts.jsonl", feedback.prompts)
    write_records(work.folder / "completions.jsonl", feedback.completions)
    num_rankings = write_records(work.folder / "rankings.jsonl", feedback.rankings)
    work.metrics["rankings"] = num_rankings
    work.metrics["labelers"] = len({ranking.labeler for ranking in feedback.rankings})
    work.metrics["ranked_prompts"] = len({ranking.prompt_id for ranking in feedback.rankings})
    return num_rankings
