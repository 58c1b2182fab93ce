"""Flow `promote`: a person makes a policy champion, or takes the last promotion back."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from models.evaluation.promotion import PromotionRequest
from models.settings.allowed_roots import require_allowed
from tasks.champion.promotion import promote_policy, roll_back


@flow(name="promote")
def promote(request: PromotionRequest) -> int:
    """Moves the champion, records who did it and why, and gives back the version that is champion now."""
    require_allowed(request)
    where = (request.tracking, request.feedback)
    if request.action == "roll_back":
        champion = roll_back(*where, request.made_by, request.reason)
    else:
        champion = promote_policy(*where, request.version, request.made_by, request.reason)
    create_markdown_artifact(
        f"# {request.tracking.policy_name} version {champion.version} is champion now",
        key="promotion",
        description="Champion and challenger",
    )
    return champion.version
