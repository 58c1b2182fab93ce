"""`rein chat`: what a policy writes, beside what its base writes, to prompts from the terminal."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cli.defaults import set_defaults
from models.errors import ArtifactError, DataError
from models.plain_text import printable
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.pipeline import StorageConfig, TrackingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from models.generation.sampling import Sample
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
    """Tries a policy: a prompt a line, from the terminal or from a pipe, and what its base and it write, until Ctrl-D or Ctrl-C.

    Both sample as the run that tuned the policy did; scores are those of the reward that it was tuned on.

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
        for number, prompt in enumerate(_prompts()):
            try:
                lines = list(trial.answer(prompt, seed, number))
            except DataError as error:  # it is too long, say; the next one need not be
                print(error, file=sys.stderr)
                continue
            print("\n".join(lines), flush=True)


@dataclass(frozen=True)
class Trial:
    """The policy and, where they are known, its base and its reward, ready to answer."""

    models: dict[str, "PreTrainedModel"]
    """`base`, where it is known, and `policy`."""
    tokenizer: "PreTrainedTokenizerBase"
    scorer: "Scorer | None"
    sampling: SamplingConfig
    compute: Compute

    @classmethod
    def open(cls, found: "FoundModel", compute: Compute) -> "Trial":
        """Loads what was found. Raises ArtifactError for a folder that holds no policy."""
        from cli.loading import loading
        from models.network.dialogue import check_tokenizer
        from models.network.networks import freeze, load_policy
        from models.network.precision import pick_device
        from models.rewards.scorer import load_scorer

        _require_policy(found.folder)
        models: dict[str, PreTrainedModel] = {}
        scorer = None
        for name, folder in (("base", found.base), ("policy", found.folder)):
            if folder is not None:
                with loading(folder):
                    network, tokenizer = load_policy(folder)
                check_tokenizer(tokenizer, str(folder))
                freeze(network).to(pick_device(compute))
                models[name] = network
        if found.reward is not None:
            with loading(found.reward):
                scorer = load_scorer(found.reward, compute)
        for name, place in (("base", found.base), ("reward", found.reward)):
            if place is None:
                print(f"{name}: not known, or not below --root", file=sys.stderr)
        return cls(models, tokenizer, scorer, found.sampling, compute)

    def answer(self, prompt: str, seed: int, number: int) -> Iterator[str]:
        """Lines of what each model writes to a prompt, the `number`th one asked, with its score. Raises DataError for one that is too long."""
        from models.network.precision import autocast

        with autocast(self.compute):
            samples = [self._sample(model, prompt, seed, number) for model in self.models.values()]
        scores: list[float | None] = [None] * len(samples)
        if self.scorer is not None:
            scores = self.scorer.score_samples([prompt] * len(samples), [sample.text for sample in samples]).tolist()
        for name, sample, score in zip(self.models, samples, scores, strict=True):
            yield from shown(name, sample.text, score, None if sample.ended else self.sampling.max_new_tokens)

    def _sample(self, model: "PreTrainedModel", prompt: str, seed: int, number: int) -> "Sample":
        from models.generation.sampling import sample_completions

        (sample,) = sample_completions(
            model,
            self.tokenizer,
            [prompt],
            max_new_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            batch_size=1,
            seed=seed,
            numbers=[number],
        )
        return sample


def shown(name: str, text: str, score: float | None, cut_off_after: int | None) -> Iterator[str]:
    """Lines for a terminal: who wrote it, with the score and how many tokens it was cut off after, if it was; and the text, indented."""
    scored = "" if score is None else f", score {score:.2f}"
    yield f"{name}{scored}" + ("" if cut_off_after is None else f", cut off after {cut_off_after} tokens")
    yield from (INDENT + printable(line) for line in text.splitlines() or ["(nothing)"])


def _require_policy(folder: Path) -> None:
    """Raises ArtifactError unless a folder holds a model that writes: else a name would be sought on the hub, and a reward's body write."""
    from cli.loading import loading

    with loading(folder):
        architectures = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    if any(name.endswith("SequenceClassification") for name in architectures):
        raise ArtifactError(f"{folder}: a reward, which writes nothing; `rein score` scores texts with it")


def _prompts() -> Iterator[str]:
    """The lines of standard input that are not blank; told what they were, where nobody sees them typed."""
    is_typed = sys.stdin.isatty()
    for number in count(1):
        try:
            prompt = input("> " if is_typed else "").strip()
            prompt.encode()  # what is not UTF-8 comes as halves of surrogate pairs in some locales
        except EOFError:
            return
        except UnicodeError:
            raise DataError(f"standard input, line {number}: not UTF-8") from None
        if not prompt:
            continue
        if not is_typed:
            print(f"> {printable(prompt)}")
        yield prompt
