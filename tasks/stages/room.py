"""Whether prompts and completions fit into what the base model reads, told before anything is trained. No stage of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeling.feedback import Feedback
from models.class_votes import ClassVotes
from models.errors import DataError
from models.records import Artifact, Prompt, Ranking, Rating
from tasks.running.stage import Work

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def require_room(
    base: Artifact, texts: Sequence[str], max_new_tokens: int, completed: Sequence[tuple[str, str, bool]] = ()
) -> None:
    """Raises DataError naming the prompts that leave no room for `max_new_tokens` in the base model's context, and the completions
    (prompt, text, whether it ended) that are longer, with their prompts, than the context."""
    from models.network.tokens import check_lengths

    room = Room.of(base)
    prompts = [room.prompt(text) for text in texts]
    check_lengths(prompts, texts, room.context_length - max_new_tokens, f"max_new_tokens={max_new_tokens}")
    lengths = [(room.num_tokens(*one), one[1]) for one in completed]
    too_long = [one for one in lengths if one[0] > room.context_length]
    if too_long:
        length, text = max(too_long)
        raise DataError(
            f"{len(too_long)} completions are longer, with their prompts, than the {room.context_length} tokens that the model reads; "
            f"the longest has {length}: {text[:80]!r}; shorten them, or let bad_rows set them aside"
        )


def unfit_prompts(base: Artifact, texts: Sequence[str], max_new_tokens: int) -> dict[str, str]:
    """Prompt -> reason, of those that leave no room for `max_new_tokens` in the base model's context, or that it cannot take."""
    room = Room.of(base)
    return {text: why for text in texts if (why := room.why_unfit(text, max_new_tokens))}


def set_aside(work: Work, rejected: Path, rows: Sequence[tuple[dict[str, Any], Sequence[str]]], count: str) -> None:
    """Adds rows, each with its reasons, to what was set aside already, and tells how much that is, as the metric `count`."""
    if rows:
        with rejected.open("a", encoding="utf-8") as file:
            for row, reasons in rows:
                told = [{"field": "", "reason": reason} for reason in reasons]
                file.write(json.dumps({"file": None, "line": None, "reasons": told, "row": row}) + "\n")
    if rejected.exists():
        work.metrics[count] = len(rejected.read_bytes().splitlines())
        work.note(f"{work.metrics[count]} bad rows were set aside in rejected.jsonl, each with its reasons.")


def without_what_is_too_long(
    base: Artifact, feedback: Feedback, max_new_tokens: int
) -> tuple[Feedback, list[tuple[dict[str, Any], list[str]]]]:
    """The feedback without the judgements that name something too long, and without what they alone name; and those judgements,
    with the reasons."""
    room = Room.of(base)
    reasons = room.unfit(feedback, max_new_tokens)
    why_votes = {id(one): room.why_votes_unfit(one, max_new_tokens) for one in feedback.class_votes}
    bad = [one for one in (*feedback.rankings, *feedback.ratings) if not reasons.keys().isdisjoint(_named(one))]
    gone = {one.id for one in bad}
    rankings = [one for one in feedback.rankings if one.id not in gone]
    ratings = [one for one in feedback.ratings if one.id not in gone]
    counted = [one for one in feedback.class_votes if not why_votes[id(one)]]
    left = {name for one in (*rankings, *ratings) for name in _named(one)}
    left |= {Prompt.of(one.prompt, one.split).id for one in counted if one.prompt is not None}
    fitting = Feedback(
        [one for one in feedback.prompts if one.id in left],
        [one for one in feedback.completions if one.id in left],
        rankings,
        ratings,
        [one for one in feedback.systems if one.completion_id in left],
        counted,
    )
    long = [(one.model_dump(mode="json"), [why]) for one in feedback.class_votes if (why := why_votes[id(one)])]
    return fitting, [_rejected(one, reasons) for one in bad] + long


class Room:
    """A model's tokens and how many of them it reads."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", context_length: int) -> None:
        self._tokenizer, self.context_length = tokenizer, context_length
        self._prompts: dict[str, list[int]] = {}

    @classmethod
    def of(cls, base: Artifact) -> "Room":
        """That of a base model."""
        from transformers import AutoConfig, AutoTokenizer

        from models.network.architecture import context_length

        folder = base.folder / "model"
        return cls(AutoTokenizer.from_pretrained(folder), context_length(AutoConfig.from_pretrained(folder)))

    def prompt(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        from models.network.dialogue import encode_prompt

        if text not in self._prompts:
            self._prompts[text] = encode_prompt(self._tokenizer, text)
        return self._prompts[text]

    def why_unfit(self, prompt: str, max_new_tokens: int) -> str:
        """Why no completion of the prompt can be written; empty where one can."""
        try:
            length = len(self.prompt(prompt))
        except DataError as error:
            return str(error)
        left = self.context_length - max_new_tokens
        told = f"the prompt has {length} tokens; {left} are left beside max_new_tokens={max_new_tokens}"
        return told if length > left else ""

    def why_votes_unfit(self, votes: ClassVotes, max_new_tokens: int) -> str:
        """Why a text with votes cannot be read; empty where it can."""
        if votes.prompt is not None and (why := self.why_unfit(votes.prompt, max_new_tokens)):
            return why
        length = self.num_tokens(votes.prompt or "", votes.text, ended=True)
        told = f"the text has {length} tokens with what stands before it; the model reads {self.context_length}"
        return told if length > self.context_length else ""

    def unfit(self, feedback: Feedback, max_new_tokens: int) -> dict[str, str]:
        """Id -> reason, of prompts as above, and of other prompts' completions that are longer with them than the context."""
        text_of = {one.id: one.text for one in feedback.prompts}
        reasons = {one.id: why for one in feedback.prompts if (why := self.why_unfit(one.text, max_new_tokens))}
        return reasons | {
            one.id: f"completion {one.id} has {length} tokens with its prompt; the model reads {self.context_length}"
            for one in feedback.completions
            if one.prompt_id not in reasons
            and (length := self.num_tokens(text_of[one.prompt_id], one.text, one.ended)) > self.context_length
        }

    def num_tokens(self, prompt: str, completion: str, ended: bool) -> int:
        """Of a prompt and its completion together."""
        from models.network.dialogue import encode_completion

        return len(self.prompt(prompt)) + len(encode_completion(self._tokenizer, completion, ended))


def _named(judgement: Ranking | Rating) -> set[str]:
    own = {judgement.completion_id} if isinstance(judgement, Rating) else set(judgement.places)
    return own | {judgement.prompt_id}


def _rejected(judgement: Ranking | Rating, reasons: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    said = [reasons[name] for name in sorted(_named(judgement)) if name in reasons]
    return judgement.model_dump(mode="json"), said
