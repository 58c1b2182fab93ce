"""Stage `ai-labels`: language models rank completions, by themselves or beside people. It gives a feedback snapshot, as stage `labels` does."""

from collections.abc import Sequence

from labeling.feedback import Feedback
from labeling.labelers.ai import Said, Shown, ask_model, shown_together
from labeling.labelers.labeler import completions_by_prompt
from models.errors import DataError
from models.judge_model.kept_answers import KeptAnswers
from models.plain_text import plain
from models.preferences.agreement import order_agreement
from models.records import Artifact, Completion, Prompt, Ranking, read_records
from models.settings.asked.labels import AILabels
from tasks.running.progress import ToldProgress
from tasks.running.stage import Work, stage
from tasks.stages.labels import write_feedback


@stage("ai-labels", kind="feedback", unit="rankings", reads_data=True)
def ask_models(
    work: Work, config: AILabels, prompts: Artifact, completions: Artifact, beside: Artifact | None = None
) -> int:
    """A feedback snapshot with the models' rankings. Prompts without completions are left out.

    `beside`: a snapshot of what people said of these completions, which is in it too; asked are the models about those that somebody ranked together.
    """
    given = Feedback.of_folder(beside.folder) if beside else _generated(prompts, completions)
    if same := sorted(
        {one.labeler for one in (*given.rankings, *given.ratings)} & {one.name for one in config.labelers}
    ):
        raise DataError(
            f"labels.labelers: {', '.join(same)}: people of this name have judged, too; give the model another name"
        )
    if beside and config.criterion not in (known := {one.criterion for one in given.rankings}):
        raise DataError(
            f"labels.criterion: people ranked by {', '.join(sorted(known)) or 'nothing'}, and not by {config.criterion!r}"
        )
    shown = shown_together(*given[:3]) if beside else _all_together(given)
    if not shown:
        raise DataError(
            "labels.beside: nobody ranked two completions of a prompt, so that models have nothing to rank beside people"
        )
    kept, rankings = KeptAnswers(work.checkpoint_folder / "judge_answers.jsonl"), list(given.rankings)
    for labeler in config.labelers:
        progress = ToldProgress(f"ai-labels-{labeler.model.kind}")
        said = ask_model(labeler, config.criterion, shown, kept, progress.tell)
        progress.end()
        _tell(work, labeler.name, said, given.rankings)
        rankings += said.rankings
    if given.rankings:
        work.metrics["agreement_of_people"] = order_agreement(given.rankings, given.rankings)
    work.metrics["ai_labelers"] = [one.name for one in config.labelers]
    return write_feedback(work, given._replace(rankings=rankings))


def _generated(prompts: Artifact, completions: Artifact) -> Feedback:
    """What the run itself has written, of which nobody has said anything yet."""
    texts = read_records(completions.folder / "completions.jsonl", Completion)
    named = {one.prompt_id for one in texts}
    asked = read_records(prompts.folder / "prompts.jsonl", Prompt)
    return Feedback([one for one in asked if one.id in named], texts, [])


def _all_together(given: Feedback) -> list[Shown]:
    shown_of = completions_by_prompt(given.prompts, given.completions, at_least=2)
    return [(prompt, shown_of[prompt.id]) for prompt in given.prompts]


def _tell(work: Work, name: str, said: Said, people: Sequence[Ranking]) -> None:
    """The figures of a model: how it answered, and how far it agrees with people, beside whom chance has one half."""
    agreed = order_agreement(said.rankings, people)
    figures = said.told | ({} if agreed is None else {"agreement_with_people": agreed})
    work.metrics |= {f"ai/{name}/{figure}": value for figure, value in figures.items()}
    work.note(f"Labels by **a language model, not by people**: {plain(name)}, {len(said.rankings)} rankings")
    if said.unreadable:
        lines = [f"- {plain(answer[:300])}" for answer in said.unreadable]
        work.note("\n".join(["Answers that could not be read, and are no label; some of them:", "", *lines]))
