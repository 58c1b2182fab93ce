"""What overseers change from a disagreement: one more labeler for a prompt, a labeler left out of a batch or counted again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from labeling.page.access import OverseerPosting, Store, utc_now
from labeling.page.overseer import overseen_batch
from labeling.store.steering import ask_more, count_again, leave_out

router = APIRouter(prefix="/overseer/batches/{batch_id}")

Name = Annotated[str, Form(pattern=r"^[^\x00]*$")]
Back = Annotated[int, Form(ge=0, le=1000)]
"""Where the form stands: a page of disagreements, 0 for the batch's own page."""


@router.post("/ask-more")
def ask_another(
    store: Store,
    visitor: OverseerPosting,
    batch_id: str,
    prompt_id: Name,
    num_extra: Annotated[int, Form()],
    back: Back = 0,
) -> Response:
    """Lets `num_extra` labelers more than the batch asks judge a prompt."""
    with store.write() as session:
        ask_more(session, overseen_batch(session, batch_id), prompt_id, num_extra)
    return _to(batch_id, back)


@router.post("/labeler")
def count_or_leave_out(
    store: Store,
    visitor: OverseerPosting,
    batch_id: str,
    labeler: Name,
    counts: Annotated[Literal["yes", "no"], Form()],
    back: Back = 0,
) -> Response:
    """Leaves a labeler out of a batch, or counts them again."""
    with store.write() as session:
        batch = overseen_batch(session, batch_id)
        if counts == "yes":
            count_again(session, batch, labeler)
        else:
            leave_out(session, batch, labeler, utc_now())
    return _to(batch_id, back)


def _to(batch_id: str, back: int) -> Response:
    of_batch = f"/overseer/batches/{batch_id}"
    return RedirectResponse(f"{of_batch}/disagreements?page={back}" if back else of_batch, 303)
