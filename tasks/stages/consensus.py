"""Stage `consensus`: several labelers' rankings become one order per prompt, with figures on how well they agree."""

from models.preferences.agreement_report import of_ratings
from models.preferences.consensus import agree
from models.preferences.ratings import ranked_outright
from models.records import Artifact, Ranking, Rating, read_records, write_records
from models.settings.pipeline import ConsensusConfig
from tasks.running.stage import Work, stage


@stage("consensus", kind="consensus", unit="prompts", reads={"feedback": ("rankings.jsonl", "ratings.jsonl")})
def agree_on_rankings(work: Work, config: ConsensusConfig, feedback: Artifact, only_outright: bool = False) -> int:
    """consensus.jsonl, and agreement.json with the figures of all labelers together and of each.

    `only_outright`: without the rankings that follow from ratings, for a reward that learns from these themselves. Then there may be none.
    """
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking, may_be_missing=only_outright)
    ratings = read_records(feedback.folder / "ratings.jsonl", Rating, may_be_missing=True)
    if only_outright:
        rankings = ranked_outright(rankings, ratings)
    if not rankings and only_outright:
        work.metrics |= of_ratings(ratings).model_dump()
        work.note("Nobody ranked anything outright: these are figures of yes and no.")
        return write_records(work.folder / "consensus.jsonl", [])
    agreed, report = agree(rankings, config, ratings)
    (work.folder / "agreement.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics["krippendorff_alpha"] = report.krippendorff_alpha
    work.metrics["mean_tau_b"] = report.mean_tau_b
    work.metrics["percent_agreement"] = report.percent_agreement
    work.metrics["leave_one_out_agreement"] = report.leave_one_out_agreement
    if report.position_bias:
        work.metrics["label_position_bias"] = report.position_bias.mean
    work.metrics["upside_down_labelers"] = [labeler.labeler for labeler in report.labelers if labeler.upside_down]
    work.metrics["labeler_reliability"] = {labeler.labeler: labeler.reliability for labeler in report.labelers}
    work.note(report.summary())
    return write_records(work.folder / "consensus.jsonl", agreed)
