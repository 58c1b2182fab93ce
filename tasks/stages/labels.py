"""Stages `labels` (simulated labelers rank) and `feedback` (rankings that people made are read). Both give a feedback snapshot:

a folder with prompts.jsonl, completions.jsonl and, as far as there are any, rankings.jsonl, ratings.jsonl and class_votes.jsonl, from which everything
after it can be recomputed.
"""

from collections import Counter
from collections.abc import Mapping

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback, rankings_of_ratings
from labeling.importers.read_feedback import read_feedback
from labeling.label_studio.export import rankings_as_shown
from labeling.labelers.labeler import rank_completions, rate_completions
from models.conversation import transcript
from models.errors import DataError
from models.plain_text import plain
from models.records import Artifact, Completion, Prompt, Rating, read_records
from models.settings.labels import FeedbackFiles, LabelKind, LabelStudioExport, SimulatedLabels
from models.settings.pipeline import SplitConfig
from models.settings.rewards import RewardKind
from tasks.running.stage import Work, stage
from tasks.stages.room import require_room, set_aside, without_what_is_too_long

MAX_LISTED = 50


@stage("labels", kind="feedback", unit="rankings", reads_data=True)
def simulate_labels(work: Work, config: SimulatedLabels, prompts: Artifact, completions: Artifact, seed: int) -> int:
    """A feedback snapshot whose rankings and ratings come from labelers that are no people. Prompts without completions are left out.

    Where nobody ranks, there are the rankings that follow from ratings.
    """
    ranked = read_records(completions.folder / "completions.jsonl", Completion)
    named = {completion.prompt_id for completion in ranked}
    asked = [prompt for prompt in read_records(prompts.folder / "prompts.jsonl", Prompt) if prompt.id in named]
    rankings = rank_completions(config, asked, ranked, seed, kept=work.checkpoint_folder / "answers.jsonl")
    work.metrics["simulated_labelers"] = True
    work.note(f"**Simulated** labelers, not people: {', '.join(plain(one.name) for one in config.labelers)}")
    ratings = rate_completions(config, asked, ranked, seed)
    return write_feedback(work, Feedback(asked, ranked, rankings or rankings_of_ratings(ratings), ratings))


@stage("joined-feedback", kind="feedback", unit="rankings")
def join_feedback(work: Work, earlier: Artifact, later: Artifact) -> int:
    """A feedback snapshot of two, about different prompts."""
    before, after = Feedback.of_folder(earlier.folder), Feedback.of_folder(later.folder)
    return write_feedback(work, Feedback(*([*one, *other] for one, other in zip(before, after, strict=True))))


@stage("feedback", kind="feedback", unit="rankings", reads_data=True)
def ingest_feedback(
    work: Work, config: FeedbackFiles, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> int:
    """A feedback snapshot of what people said already; bad rows are refused, or set aside in rejected.jsonl, as the config says.

    Raises DataError that names every bad row, and for prompts and completions that do not fit the base model's context.
    """
    rejected = work.folder / "rejected.jsonl"
    feedback = read_feedback(config, split, seed, set_aside=rejected if config.bad_rows == "set_aside" else None)
    if config.bad_rows == "set_aside":
        feedback, too_long = without_what_is_too_long(base, feedback, max_new_tokens)
        set_aside(work, rejected, too_long, count="rejected_rows")
    text_of = {prompt.id: prompt.text for prompt in feedback.prompts}
    completed = [(text_of[one.prompt_id], one.text, one.ended) for one in feedback.completions]
    completed += [(one.prompt or "", one.text, True) for one in feedback.class_votes]
    require_room(base, list(text_of.values()), max_new_tokens, completed)
    if not (feedback.rankings or feedback.ratings or feedback.class_votes):
        raise DataError(
            f"{config.place}: every judgement names a prompt or completion that is too long for the model; lower sampling.max_new_tokens"
        )
    if isinstance(config, LabelStudioExport):
        lines = rankings_as_shown(config)
        work.metrics["rankings_as_shown"] = len(lines)
        work.note("\n".join(f"- {plain(line)}" for line in lines[:MAX_LISTED]))
    return write_feedback(work, feedback)


def require_rankings(reward: RewardKind, labels: LabelKind, feedback: Artifact) -> None:
    """Raises DataError where the reward learns from rankings alone, and this feedback has none: said before anything is trained."""
    if reward.reads_votes or (feedback.folder / "rankings.jsonl").is_file():
        return
    place = labels.place if isinstance(labels, FeedbackFiles) else f"labels.kind {labels.kind}"
    ratings = read_records(feedback.folder / "ratings.jsonl", Rating, may_be_missing=True)
    if not ratings:
        raise DataError(f"{place}: it holds votes for classes and no rankings; take reward.kind classifier")
    raise DataError(
        f"{place}: none of its {len(ratings)} ratings can be learned from by reward.kind {reward.kind}: a ranking follows where one labeler "
        "rates several completions of a prompt; reward.kind thumbs learns from single ones"
    )


def write_feedback(work: Work, feedback: Feedback) -> int:
    """Writes the files and gives back the number of rankings, or of other judgements where nobody ranked.

    Of the rankings `choices` are between two, and `degrees` say by how much one is better; `single_ratings` are of the one completion of its
    prompt that a labeler rated: no ranking follows from these.
    """
    export_raw(feedback, work.folder)
    work.metrics["rankings"] = len(feedback.rankings)
    work.metrics["choices"] = sum(len(one.places) == 2 for one in feedback.rankings)
    work.metrics["degrees"] = sum(one.degree is not None for one in feedback.rankings)
    work.metrics["ratings"] = len(feedback.ratings)
    rated = Counter((one.prompt_id, one.labeler) for one in feedback.ratings)
    work.metrics["single_ratings"] = sum(count == 1 for count in rated.values())
    work.metrics["labelers"] = len({one.labeler for one in (*feedback.rankings, *feedback.ratings)})
    work.metrics["ranked_prompts"] = len({ranking.prompt_id for ranking in feedback.rankings})
    work.metrics["class_votes"] = sum(sum(one.votes.values()) for one in feedback.class_votes)
    return len(feedback.rankings) or len(feedback.ratings) or len(feedback.class_votes)


def require_one_side(feedback: Artifact, parts: Mapping[str, Artifact]) -> None:
    """Raises DataError naming a prompt that stands on one side of the split in the run's feedback and on another in that of a part of the
    reward, or in those of two parts: a policy would be judged on what its reward has learned from."""
    sides: dict[str, tuple[str, str]] = {}
    for name, one in {
        "labels": feedback,
        **{f"reward.parts.{name}.labels": own for name, own in parts.items()},
    }.items():
        for prompt in read_records(one.folder / "prompts.jsonl", Prompt):
            before, side = sides.setdefault(prompt.id, (name, prompt.split))
            if side != prompt.split:
                raise DataError(
                    f"{name}: the prompt {transcript(prompt.text)[:80]!r} is on side {prompt.split}, and in {before} on side {side}; "
                    "let the same column decide in both, or the prompt's text (held_out_column left out)"
                )
