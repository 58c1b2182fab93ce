"""`rein check`: loads the base once and says how it reads what the preset names, before anybody labels."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.starting.before_a_run import require_all_there, require_said
from cli.starting.presets import Overrides, Preset, read_config
from cli.starting.rows import all_labels, require_rows
from models.errors import DataError
from models.footprint import NetworkSize
from models.settings.allowed_roots import require_allowed
from models.settings.generation import PromptsConfig
from models.settings.labels import FeedbackFiles
from models.settings.pipeline import PipelineConfig
from models.settings.training import ScratchBase

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tasks.stages.room import Room


def check(
    preset: Preset,
    *overrides: Overrides,
) -> None:
    """Loads the base and says how it reads the preset's prompts, how many fit, and about how long an update takes; trains nothing.

    `--check` of the other commands reads the settings alone.
    """
    config = read_config(preset, overrides)
    require_allowed(config)
    require_all_there(config)
    require_rows(config)
    for line in findings(config):
        print(line, flush=True)


def findings(config: PipelineConfig) -> Iterator[str]:
    """Lines for people. Raises ConfigError for a base that cannot serve, DataError where what fits is too little for a run."""
    from labeling.sources.read_source import read_texts
    from models.generation.guards import require_faithful
    from models.network.architecture import context_length
    from models.network.base import open_base
    from models.network.dialogue import ASKED
    from models.network.precision import held_narrowly
    from models.rewards.scorer import probe_reward
    from tasks.running.space import describe_needs, in_gigabytes, require_space
    from tasks.stages.room import Room

    is_new = isinstance(config.base, ScratchBase) and config.pretraining is not None
    texts = read_texts(config.pretraining.source, config.seed, None) if is_new else []
    model, tokenizer = open_base(config.base, texts, config.seed)
    require_faithful(model, tokenizer)
    room = Room(tokenizer, context_length(model.config))
    yield from _base_lines(model, tokenizer)
    with held_narrowly(model):  # as a run keeps it
        stored = next(model.parameters()).element_size()
    size = NetworkSize.of_shapes({name: weight.shape for name, weight in model.named_parameters()}, stored)
    yield from describe_needs(config, size)
    require_space(config, size)
    fitting: list[str] = []
    own = {f"{name}.prompts": tuning.prompts for name, tuning in config.tunings.items()}
    for key, asked in ({"prompts": config.prompts} | own).items():
        if asked is not None:
            yield _count_prompts(key, asked, config, room, fitting)
    own = {f"reward.parts.{name}.labels": part.labels for name, part in config.reward.made_of.items()}
    for key, labels in {"labels": config.labels, **own}.items():
        if isinstance(labels, FeedbackFiles):
            yield _count_feedback(key, labels, config, room, fitting)
    for labels in all_labels(config):
        try:
            require_said(labels, config)
        except DataError as error:  # as it is before `rein collect`
            yield f"labels: {error}"
    prompts = [room.prompt(text) for text in fitting or [ASKED]]
    if fitting:
        probe_reward(config.reward, fitting[0])
    yield "guards passed: template and end of a turn; log-probabilities, sampling and a reward model's scores as transformers gives them"
    yield f"a prompt: {_pieces(tokenizer, prompts[0])}"
    if update_cost := getattr(config.tuning.load_module(), "update_cost", None):
        cost = update_cost(model, prompts, config.tuning, config.sampling, config.compute)
        yield (
            f"an update: about {float(f'{cost.seconds:.2g}'):g} s and {in_gigabytes(cost.bytes)} of memory besides, where every completion "
            f"has {config.sampling.max_new_tokens} tokens"
        )


def _base_lines(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    from models.network.architecture import context_length
    from models.network.attention import is_padded
    from models.network.dialogue import end_token, end_tokens
    from models.network.llama_forward import has_own_pass

    num_weights = sum(weight.numel() for weight in model.parameters())
    yield f"base: {type(model).__name__}, {num_weights:,} weights, reads {context_length(model.config)} tokens"
    own = "a forward pass of Rein's own" if has_own_pass(model.base_model) else "its layers in transformers"
    if is_padded(model):
        yield "path: padded rows, through its layers and attention in transformers, which is slower (docs/own-model.md)"
    else:
        yield f"path: packed sequences, through {own}"
    ends = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(end_tokens(model) or [end_token(tokenizer)])))
    yield f"turns end at: {ends}; those that are learned from, with {tokenizer.convert_ids_to_tokens(end_token(tokenizer))!r}"


def _pieces(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int]) -> str:
    """How many tokens, and what each of them spells."""
    spelled = " ".join(repr(tokenizer.decode([token])) for token in tokens)
    return f"{len(tokens)} tokens: {spelled}"


def _count_prompts(key: str, asked: PromptsConfig, config: PipelineConfig, room: "Room", fitting: list[str]) -> str:
    """How many fit; those are added to `fitting`. Raises DataError when a run would draw one that does not."""
    from labeling.sources.read_source import read_prompts

    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "rejected.jsonl" if asked.bad_rows == "set_aside" else None
        texts = dict.fromkeys(read_prompts(asked.source, config.seed, aside))
    unfit = {text: why for text in texts if (why := room.why_unfit(text, config.sampling.max_new_tokens))}
    told = f"{key}: {len(texts) - len(unfit)} of {len(texts)} different prompts fit"
    if unfit:
        told += f"; of the others the first: {next(iter(unfit.values()))}"
    if len(texts) - len(unfit) < asked.num_prompts:
        raise DataError(f"{told}; {key}.num_prompts is {asked.num_prompts}")
    if unfit and asked.bad_rows == "refuse":
        told += f"; a run that draws one is refused, unless {key}.bad_rows=set_aside"
    fitting += [text for text in texts if text not in unfit]
    return told


def _count_feedback(key: str, labels: FeedbackFiles, config: PipelineConfig, room: "Room", fitting: list[str]) -> str:
    """As above, of people's rankings that exist already."""
    from labeling.importers.read_feedback import read_feedback

    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "rejected.jsonl" if labels.bad_rows == "set_aside" else None
        feedback = read_feedback(labels, config.split, config.seed, aside)
    unfit = room.unfit(feedback, config.sampling.max_new_tokens)
    prompts = [one for one in feedback.prompts if one.id not in unfit]
    completions = [one for one in feedback.completions if unfit.keys().isdisjoint((one.id, one.prompt_id))]
    told = f"{key}: {len(prompts)} of {len(feedback.prompts)} prompts fit, and {len(completions)} of {len(feedback.completions)} completions"
    if unfit:
        told += f"; of the others the first: {next(iter(unfit.values()))}"
    if unfit and labels.bad_rows == "refuse":
        raise DataError(f"{told}; shorten them, or set {key}.bad_rows=set_aside")
    fitting += [one.text for one in prompts]
    return told
