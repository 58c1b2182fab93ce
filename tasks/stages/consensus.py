"""Stage `consensus`: several labelers' rankings become one order per prompt, with figures on how well they agree."""

from models.errors import DataError
from models.preferences.consensus import agree
from models.records import Artifact, Ranking, Rating, read_records, write_records
from models.settings.pipeline import ConsensusConfig
from tasks.running.stage import Work, stage


@stage("consensus", kind="consensus", unit="prompts")
def agree_on_rankings(work: Work, config: ConsensusConfig, feedback: Artifact) -> int:
    """consensus.jsonl, and agreement.json with the figures of all labelers together and of each.

    The rankings of `held_out_labelers` are in neither. Raises DataError for one of them who has ranked nothing.
    """
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking)
    unknown = sorted(set(config.held_out_labelers) - {one.labeler for one in rankings})
    if unknown:
        raise DataError(f"consensus.held_out_labelers: {', '.join(unknown)} ranked nothing of this feedback")
    ratings = read_records(feedback.folder / "ratings.jsonl", Rating)
    agreed, report = agree(
        [one for one in rankings if one.labeler not in config.held_out_labelers],
        config,
        [one for one in ratings if one.labeler not in config.held_out_labelers],
    )
    (work.folder / "agreement.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics["krippendorff_alpha"] = report.krippendorff_alpha
    work.metrics["mean_tau_b"] = report.mean_tau_b
    work.metrics["percent_agreement"] = report.percent_agreement
    work.metrics["leave_one_out_agreement"] = report.leave_one_out_agreement
    work.metrics["upside_down_labelers"] = [labeler.labeler for labeler in report.labelers if labeler.upside_down]
    work.metrics["labeler_reliability"] = {labeler.labeler: labeler.reliability for labeler in report.labelers}
    work.note(report.summary())
    return write_records(work.folder / "consensus.jsonl", agreed)
