"""Whether prompts and completions fit into what the base model reads, told before anything is trained. No stage of its own."""

from collections.abc import Sequence
from typing import Any

from labeling.feedback import Feedback
from models.errors import DataError
from models.records import Artifact, Ranking, Rating


def require_room(
    base: Artifact, texts: Sequence[str], max_new_tokens: int, completed: Sequence[tuple[str, str, bool]] = ()
) -> None:
    """Raises DataError naming the prompts that leave no room for `max_new_tokens` in the base model's context, and the completions
    (prompt, text, whether it ended) that are longer, with their prompts, than the context."""
    from models.network.tokens import check_lengths

    room = _Room(base)
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


def without_what_is_too_long(
    base: Artifact, feedback: Feedback, max_new_tokens: int
) -> tuple[Feedback, list[dict[str, Any]]]:
    """The feedback without the judgements that name something too long, and without what they alone name; and those judgements,
    with the reasons, in the form of rejected.jsonl."""
    room = _Room(base)
    text_of = {one.id: one.text for one in feedback.prompts}
    longest = room.context_length - max_new_tokens
    reasons = {
        one.id: f"the prompt has {length} tokens; {longest} are left beside max_new_tokens={max_new_tokens}"
        for one in feedback.prompts
        if (length := len(room.prompt(one.text))) > longest
    } | {
        one.id: f"completion {one.id} has {length} tokens with its prompt; the model reads {room.context_length}"
        for one in feedback.completions
        if (length := room.num_tokens(text_of[one.prompt_id], one.text, one.ended)) > room.context_length
    }
    bad = [one for one in (*feedback.rankings, *feedback.ratings) if not reasons.keys().isdisjoint(_named(one))]
    gone = {one.id for one in bad}
    rankings = [one for one in feedback.rankings if one.id not in gone]
    ratings = [one for one in feedback.ratings if one.id not in gone]
    left = {name for one in (*rankings, *ratings) for name in _named(one)}
    fitting = Feedback(
        [one for one in feedback.prompts if one.id in left],
        [one for one in feedback.completions if one.id in left],
        rankings,
        ratings,
        [one for one in feedback.systems if one.completion_id in left],
    )
    return fitting, [_rejected(one, reasons) for one in bad]


class _Room:
    """The base model's tokens and how many of them it reads."""

    def __init__(self, base: Artifact) -> None:
        from transformers import AutoConfig, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(base.folder / "model")
        self.context_length: int = AutoConfig.from_pretrained(base.folder / "model").max_position_embeddings
        self._prompts: dict[str, list[int]] = {}

    def prompt(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        from models.network.dialogue import encode_prompt

        if text not in self._prompts:
            self._prompts[text] = encode_prompt(self._tokenizer, text)
        return self._prompts[text]

    def num_tokens(self, prompt: str, completion: str, ended: bool) -> int:
        """Of a prompt and its completion together."""
        from models.network.dialogue import encode_completion

        return len(self.prompt(prompt)) + len(encode_completion(self._tokenizer, completion, ended))


def _named(judgement: Ranking | Rating) -> set[str]:
    own = {judgement.completion_id} if isinstance(judgement, Rating) else set(judgement.places)
    return own | {judgement.prompt_id}


def _rejected(judgement: Ranking | Rating, reasons: dict[str, str]) -> dict[str, Any]:
    said = [reasons[name] for name in sorted(_named(judgement)) if name in reasons]
    told = [{"field": "", "reason": reason} for reason in said]
    return {"file": None, "line": None, "reasons": told, "row": judgement.model_dump(mode="json")}
