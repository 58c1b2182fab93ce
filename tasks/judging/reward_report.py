"""Stage `reward-report`: how good the reward model is on held-out prompts."""

from math import isnan
from typing import TYPE_CHECKING

from models.errors import TrainingError
from models.plain_text import plain
from models.preferences.pairs import make_own_pairs
from models.preferences.ratings import read_votes
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records
from models.settings.compute import Compute
from models.settings.pipeline import PairsConfig
from models.settings.tuning import Tuning
from tasks.running.stage import Work, stage
from tasks.running.storage import read_manifest

if TYPE_CHECKING:
    from models.evaluation.class_report import ClassReport
    from models.evaluation.reward_report import RewardReport  # loads torch, as these do
    from models.rewards.scorer import People, Scorer


@stage(
    "reward-report",
    kind="reward-report",
    unit="held-out pairs or texts",
    reads={
        "feedback": ("prompts.jsonl", "completions.jsonl", "rankings.jsonl", "ratings.jsonl", "class_votes.jsonl"),
        "pairs": ("pairs.jsonl",),
    },
)
def report_on_reward(work: Work, reward: Artifact, feedback: Artifact, pairs: Artifact, compute: Compute) -> int:
    """reward_report.json, by the consensus and by each labeler, held-out ones too, and, of a reward that tells classes or people apart,
    class_report.json or personal_report.json. One person's reward is judged by this person's word alone. Gives back the number of strict
    pairs, or of texts where there are none."""
    from models.evaluation.class_report import report_classes
    from models.rewards.scorer import load_scorer

    scorer = load_scorer(reward.folder / "model", compute)
    num_pairs = num_texts = 0
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking, may_be_missing=True)
    if rankings:
        num_pairs = _report_preferences(work, scorer, feedback, pairs, rankings)
    if scorer.people is not None:
        _report_people(work, scorer.people, feedback, rankings)
    if scorer.classes is not None:
        of_classes = report_classes(scorer.classes, read_votes(feedback.folder))
        (work.folder / "class_report.json").write_text(of_classes.model_dump_json(indent=1), encoding="utf-8")
        work.metrics |= class_figures(of_classes)
        work.metrics.setdefault("reward_accuracy", of_classes.figures.accuracy)
        work.note(_class_summary(of_classes))
        num_texts = of_classes.num_texts
    if rankings:  # of people who agree on nothing
        work.metrics.setdefault("reward_accuracy", work.metrics["reward_labeler_accuracy"])
    return num_pairs or num_texts


def _report_preferences(
    work: Work, scorer: "Scorer", feedback: Artifact, pairs: Artifact, rankings: list[Ranking]
) -> int:
    from models.evaluation.reward_report import report_reward

    completions = read_records(feedback.folder / "completions.jsonl", Completion)
    agreed = read_records(pairs.folder / "pairs.jsonl", Pair)
    if scorer.speaks_for:  # others may want the opposite
        rankings = [one for one in rankings if one.labeler in scorer.speaks_for]
        agreed = make_own_pairs(rankings, completions, PairsConfig())
    prompts = read_records(feedback.folder / "prompts.jsonl", Prompt)
    report = report_reward(scorer, prompts, completions, agreed, rankings)
    (work.folder / "reward_report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics["reward_labeler_accuracy"] = report.labeler_accuracy
    work.metrics["reward_labeler_accuracy_low"] = report.labeler_accuracy_low
    work.metrics["reward_labeler_accuracy_high"] = report.labeler_accuracy_high
    work.metrics["reward_labeler_ceiling"] = report.labeler_ceiling
    work.metrics["reward_length_rule"] = report.length_rule
    if report.num_pairs:
        work.metrics["reward_ngrams"] = report.ngrams
        work.metrics["reward_accuracy"] = report.accuracy
        work.metrics["reward_calibration_error"] = report.calibration_error
    work.metrics["reward_held_out_pairs"] = report.num_pairs
    if report.disagreement is not None:
        work.metrics["reward_disagreement"] = report.disagreement
    work.note(_summary(report))
    return report.num_pairs


def _report_people(work: Work, people: "People", feedback: Artifact, rankings: list[Ranking]) -> None:
    from models.evaluation.rewards.personal_report import report_people

    report = report_people(
        people,
        read_records(feedback.folder / "prompts.jsonl", Prompt),
        read_records(feedback.folder / "completions.jsonl", Completion),
        rankings,
    )
    (work.folder / "personal_report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics |= report.figures
    rows = "\n".join(
        f"| {plain(one.person)} | {one.num_preferences} | {one.shared:.3f} | {one.personal:.3f} |"
        for one in report.people
    )
    work.note(
        f"Of people's own {report.num_preferences} strict preferences on held-out prompts the score that all share agrees with "
        f"{report.shared_accuracy:.3f}, each person's own with {report.personal_accuracy:.3f}: {report.gain:+z.3f} ({report.gain_low:+z.3f} to "
        f"{report.gain_high:+z.3f}).\n\n| labeler | preferences | shared | personal |\n|---|---|---|---|\n{rows}"
    )


def class_figures(report: "ClassReport") -> dict[str, float]:
    """The figures of a class report by the names that they have in a run's report."""
    found = {"class_held_out_texts": report.num_texts}
    for prefix, figures in (("class", report.figures), ("class_ngrams", report.ngrams)):
        found |= {f"{prefix}_{name}": value for name, value in figures.model_dump().items() if not isnan(value)}
    return found


def require_accuracy(config: Tuning, report: Artifact) -> None:
    """Raises TrainingError when the reward model's held-out accuracy is below `min_reward_accuracy`, or is not known."""
    accuracy = read_manifest(report).metrics["reward_accuracy"]
    if not accuracy >= config.min_reward_accuracy:
        raise TrainingError(
            f"the reward model's held-out accuracy is {accuracy:.3f}, below tuning.min_reward_accuracy "
            f"{config.min_reward_accuracy}: a policy tuned on it would learn noise"
        )


def _summary(report: "RewardReport") -> str:
    bands = "\n".join(
        f"| {band.lowest:.1f} to {band.highest:.1f} | {band.num_pairs} | {band.mean_probability:.3f} | {band.accuracy:.3f} |"
        for band in report.bands
    )
    labelers = "\n".join(f"| {plain(name)} | {accuracy:.3f} |" for name, accuracy in report.accuracy_by_labeler.items())
    return (
        f"On held-out prompts the reward model agrees with {report.labeler_accuracy:.3f} ({report.labeler_accuracy_low:.3f} to "
        f"{report.labeler_accuracy_high:.3f}) of people's own {report.num_preferences} strict preferences; most of the "
        f"others agree with {report.labeler_ceiling:.3f} of the {report.num_foretold} that others judged too. "
        f"The longer one is preferred in {report.length_rule:.3f}; hashed n-grams agree with {report.ngrams:.3f}. "
        f"With the consensus, which may tie close calls, it agrees on {report.accuracy:.3f} of {report.num_pairs} strict pairs.\n\n"
        "Held-out pairs by how sure the reward model was:\n\n"
        f"| probability | pairs | mean probability | accuracy |\n|---|---|---|---|\n{bands}\n\n"
        f"Against each labeler's own strict preferences:\n\n| labeler | accuracy |\n|---|---|\n{labelers}"
    )


def _class_summary(report: "ClassReport") -> str:
    rows = "\n".join(
        f"| {name} | {of.accuracy:.3f} | {of.macro_f1:.3f} | {of.auroc:.3f} | {of.calibration_error:.3f} |"
        for name, of in (("reward model", report.figures), ("hashed n-grams", report.ngrams))
    )
    shares = ", ".join(f"{plain(name)} {share:.3f}" for name, share in report.shares.items())
    return (
        f"{report.num_texts} held-out texts by the class that most people put each into ({shares}); "
        f"{report.num_split} more were evenly split.\n\n"
        f"| | accuracy | macro F1 | AUROC | calibration error |\n|---|---|---|---|---|\n{rows}"
    )
