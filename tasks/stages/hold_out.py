"""Stage `hold-out`: the feedback that is learned from, without what held-out labelers said."""

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback
from models.errors import DataError
from models.records import Artifact
from tasks.running.stage import Work, stage


@stage("hold-out", kind="feedback-without-held-out-labelers", unit="rankings")
def hold_out_labelers(work: Work, labelers: tuple[str, ...], feedback: Artifact, of_part: bool = False) -> int:
    """The files of a feedback snapshot without these labelers' judgements, and without what nobody else has judged.

    Raises DataError for one of them who has ranked nothing, unless this is the feedback `of_part` of the reward, and where nobody else has.
    """
    prompts, completions, rankings, ratings, _, counted = Feedback.of_folder(feedback.folder)
    unknown = sorted(set(labelers) - {one.labeler for one in (*rankings, *ratings)})
    if unknown and not of_part:
        raise DataError(f"consensus.held_out_labelers: {', '.join(unknown)} ranked nothing of this feedback")
    told = [one for one in rankings if one.labeler not in labelers]
    rated = [one for one in ratings if one.labeler not in labelers]
    if not (told or rated):
        raise DataError(
            "consensus.held_out_labelers: nobody else has ranked anything, so that there is nothing to learn from"
        )
    named = {name for one in told for name in one.places} | {one.completion_id for one in rated}
    kept = [one for one in completions if one.id in named]
    asked, counted_of = {one.prompt_id for one in kept}, {one.prompt for one in counted}
    left = [one for one in prompts if one.id in asked or one.text in counted_of]
    export_raw(Feedback(left, kept, told, rated, class_votes=counted), work.folder)
    work.metrics["held_out_rankings"] = len(rankings) - len(told)
    return len(told) or len(rated)
