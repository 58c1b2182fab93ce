"""`rein chat`: what a policy writes, beside what its base writes, to what is said in the terminal."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cli.starting.defaults import set_defaults
from models.conversation import Message, conversation
from models.errors import ArtifactError, DataError
from models.plain_text import printable
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.pipeline import StorageConfig, TrackingConfig

if TYPE_CHECKING:
    from models.evaluation.writer import Writer
    from models.rewards.scorer import Scorer
    from tasks.lineage.found_model import FoundModel

INDENT = "    "  # so that no line of a model's looks like one of this program's


def chat(
    model: str,
    *,
    seed: int = 0,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Tries a policy: a turn a line, from the terminal or from a pipe, and what its base and it write, until Ctrl-D or Ctrl-C.

    Each goes on with what it wrote itself; an empty line begins a new conversation. Both sample as the run that tuned the policy did;
    scores are those of the reward that it was tuned on.

    Parameters
    ----------
    model
        The number or alias of a registered version, such as `champion`; or a folder with a policy.
    seed
        The same prompts in the same order are completed alike by the same seed.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    place = Path(root).resolve()
    set_defaults(place)
    with suppress(KeyboardInterrupt):
        from tasks.lineage.found_model import find_model

        trial = Trial.open(find_model(model, "policy", place, TrackingConfig(uri=tracking_uri)), Compute())
        number = 0
        for said in _lines():
            if not said:
                trial.talks.clear()
                continue
            try:
                lines = list(trial.answer(said, seed, number))
                print("\n".join(lines), flush=True)
            except DataError as error:  # it is too long, say; the next one, or that of a new conversation, need not be
                print(error, file=sys.stderr)
            number += 1


@dataclass(frozen=True)
class Trial:
    """The policy and, where they are known, its base and its reward, ready to answer."""

    models: dict[str, "Writer"]
    """`base`, where it is known, and `policy`."""
    scorer: "Scorer | None"
    sampling: SamplingConfig
    compute: Compute
    talks: dict[str, list[Message]] = field(default_factory=dict)
    """What was said so far, and what each model wrote to it; empty where a conversation begins."""

    @classmethod
    def open(cls, found: "FoundModel", compute: Compute) -> "Trial":
        """Loads what was found. Raises ArtifactError for a folder that holds no policy."""
        from cli.loading import loading
        from models.evaluation.writer import load_writer, network_folder
        from models.network.dialogue import check_tokenizer
        from models.rewards.scorer import load_scorer

        _require_policy(network_folder(found.folder))
        models: dict[str, Writer] = {}
        scorer = None
        for name, folder in (("base", found.base), ("policy", found.folder)):
            if folder is not None:
                with loading(folder):
                    models[name] = load_writer(folder, compute)
                check_tokenizer(models[name].tokenizer, str(folder))
        if found.reward is not None:
            with loading(found.reward):
                scorer = load_scorer(found.reward, compute)
        for name, place in (("base", found.base), ("reward", found.reward)):
            if place is None:
                print(f"{name}: not known, or not below --root", file=sys.stderr)
        return cls(models, scorer, found.sampling, compute)

    def answer(self, said: str, seed: int, number: int) -> Iterator[str]:
        """Lines of what each model writes to a turn, the `number`th one of all, with its score. Raises DataError where it is too long,
        with what was said before it; then it was not said."""
        from models.network.precision import autocast

        talks = {name: [*self.talks.get(name, []), {"role": "user", "content": said}] for name in self.models}
        prompts = [conversation(talk) for talk in talks.values()]
        with autocast(self.compute):
            samples = [
                sample
                for writer, prompt in zip(self.models.values(), prompts, strict=True)
                for sample in writer.complete([prompt], self.sampling, seed, numbers=[number])
            ]
        scores: list[float | None] = [None] * len(samples)
        if self.scorer is not None:
            scores = self.scorer.score_samples(prompts, [sample.text for sample in samples]).tolist()
        for (name, talk), sample, score in zip(talks.items(), samples, scores, strict=True):
            if sample.text:  # whoever wrote nothing is asked anew
                self.talks[name] = [*talk, {"role": "assistant", "content": sample.text}]
            yield from shown(name, sample.text, score, None if sample.ended else self.sampling.max_new_tokens)


def shown(name: str, text: str, score: float | None, cut_off_after: int | None) -> Iterator[str]:
    """Lines for a terminal: who wrote it, with the score and how many tokens it was cut off after, if it was; and the text, indented."""
    scored = "" if score is None else f", score {score:z.2f}"
    yield f"{name}{scored}" + ("" if cut_off_after is None else f", cut off after {cut_off_after} tokens")
    yield from (INDENT + printable(line) for line in text.splitlines() or ["(nothing)"])


def _require_policy(folder: Path) -> None:
    """Raises ArtifactError unless a folder holds a model that writes: else a name would be sought on the hub, and a reward's body write."""
    from cli.loading import loading

    with loading(folder):
        architectures = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    if any(name.endswith("SequenceClassification") for name in architectures):
        raise ArtifactError(f"{folder}: a reward, which writes nothing; `rein score` scores texts with it")


def _lines() -> Iterator[str]:
    """The lines of standard input, an empty text for a blank one; told what they were, where nobody sees them typed."""
    is_typed = sys.stdin.isatty()
    for number in count(1):
        try:
            said = input("> " if is_typed else "").strip()
            said.encode()  # what is not UTF-8 comes as halves of surrogate pairs in some locales
        except EOFError:
            return
        except UnicodeError:
            raise DataError(f"standard input, line {number}: not UTF-8") from None
        if said and not is_typed:
            print(f"> {printable(said)}")
        yield said
