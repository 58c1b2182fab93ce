"""A model's folder as others read it: transformers 4.57 finds the network and the tokens there that transformers 5, which writes it, does.

Older versions know some settings by other names. A name that they do not know they pass over, silently, and compute with a default.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from models.network.precision import held_narrowly

Setting = dict[str, Any]

ROPE_NAMES = {
    "gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "gpt_neox_japanese": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "modernbert-decoder": {"rope_theta": "global_rope_theta"},
}
"""Model type -> what it called a setting of its rotary positions, where that is not the setting's own name."""
PHI_3_SCALING = ("type", "short_factor", "long_factor")
"""What older versions take as the scaling of a Phi-3; they refuse it with anything else."""

POLICY_README = """\
---
library_name: transformers
pipeline_tag: text-generation
---

A language model that Rein saved. Plain transformers loads it, 4.57 or newer:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
turns = [{"role": "user", "content": "My house is too hot. What can I do?"}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
tokens = model.generate(**prompt, max_new_tokens=48, do_sample=False)
print(tokenizer.decode(tokens[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
```
"""
REWARD_README = """\
---
library_name: transformers
pipeline_tag: text-classification
---

A reward model that Rein saved. Plain transformers loads it, 4.57 or newer. It gives a logit; the score of a completion is how many standard
deviations that is above the mean over the completions that it learned from:

HEAD```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
turns = [{"role": "user", "content": "My house is too hot. What can I do?"}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
tokens = tokenizer(prompt + COMPLETION, add_special_tokens=False, return_tensors="pt")
logit = model(**tokens).logits.item()
print((logit - model.config.score_mean) / model.config.score_std)
```

A pipeline gives the logit, which ranks completions as the score does:

```python
from transformers import pipeline

print(pipeline("text-classification", folder)(prompt + COMPLETION, add_special_tokens=False))
```
"""
CLASSIFIER_README = """\
---
library_name: transformers
pipeline_tag: text-classification
---

A classifier that Rein saved. Plain transformers loads it, 4.57 or newer, and gives the probability of each class. As a reward, the logit of the
class in column `config.wanted_class` scores a completion, less `config.score_mean`, divided by `config.score_std`. Where
`config.reads_prompt` is false, it is given completions by themselves, behind a turn that says nothing.

HEAD```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
said = "My house is too hot. What can I do?" if model.config.reads_prompt else ""
turns = [{"role": "user", "content": said}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
print(classify(prompt + COMPLETION, add_special_tokens=False))
```
"""
HEAD = """\
```python
# transformers has no such class for this network: its body, and a linear layer on the last token
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_MAPPING

config = AutoConfig.from_pretrained(".")
family = MODEL_MAPPING[type(config)].__mro__
family = family[family.index(PreTrainedModel) - 1]
told = {"config_class": type(config), "__module__": family.__module__}
head = type("WithScore", (GenericForSequenceClassification, family), told)
AutoModelForSequenceClassification.register(type(config), head, exist_ok=True)
```

"""


def write_readme(folder: Path, text: str, model: PreTrainedModel, completion: str = "") -> None:
    """Writes README.md: how somebody loads what lies there. `completion`: one with the end of its turn, to be scored."""
    head = "" if hasattr(transformers, type(model).__name__) else HEAD
    told = text.replace("HEAD", head).replace("COMPLETION", repr(completion))
    (folder / "README.md").write_text(told, encoding="utf-8")


def write_network(folder: Path, model: PreTrainedModel) -> None:
    """Writes weights, in the narrowest type that holds them as they are, config.json and, of a model that writes, generation_config.json with all that its makers said."""
    said = model.generation_config if model.can_generate() else None
    try:
        if said is not None:  # transformers writes none that says how to sample without saying that one samples
            model.generation_config = GenerationConfig()
        with held_narrowly(model):
            model.save_pretrained(folder)
    finally:
        if said is not None:
            model.generation_config = said
    if said is not None:
        said.to_json_file(folder / GENERATION_CONFIG_NAME)
    _rewrite(folder / CONFIG_NAME, _with_older_names)


def write_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Writes the tokenizer. Every version reads one of tokenizer.json as it stands there, and not as a class of the model's would change it."""
    tokenizer.save_pretrained(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return

    def readable(settings: Setting) -> Setting:
        more = settings.pop("extra_special_tokens", None)
        if isinstance(more, list):  # older versions take it for a table of names
            settings["additional_special_tokens"] = more
        elif more is not None:
            settings["extra_special_tokens"] = more
        inputs = {"model_input_names": tokenizer.model_input_names}  # older versions would add token_type_ids
        return settings | inputs | {"tokenizer_class": "PreTrainedTokenizerFast"}

    _rewrite(folder / "tokenizer_config.json", readable)


def _with_older_names(config: Setting) -> Setting:
    """The config, and beside its settings the same ones under the names that they had before transformers 5."""
    nested = {
        key: _with_older_names(value)
        for key, value in config.items()
        if key.endswith("_config") and isinstance(value, dict)
    }
    config |= nested
    for old, new in (("torch_dtype", "dtype"), ("num_experts", "num_local_experts")):
        if new in config:
            config[old] = config[new]
    if config.get("rope_parameters"):
        config |= _older_rope(config.get("model_type", ""), config["rope_parameters"])
    return config


def _older_rope(model_type: str, rope: Setting) -> Setting:
    """Settings of rotary positions, which transformers 5 keeps together, and by type of layer where these differ."""
    names = ROPE_NAMES.get(model_type, {})
    main, sliding = rope.get("full_attention") or rope, rope.get("sliding_attention") or {}
    by_itself = ("rope_theta", "partial_rotary_factor")
    older = {names.get(key, key): main[key] for key in by_itself if key in main}
    if "rope_theta" in sliding:
        older["rope_local_base_freq"] = sliding["rope_theta"]
    scaling = {key: value for key, value in main.items() if key not in by_itself}
    if model_type == "phi3" and not scaling.keys() - PHI_3_SCALING - {"rope_type", "original_max_position_embeddings"}:
        scaling = {key: scaling.get(key, scaling["rope_type"]) for key in PHI_3_SCALING}
    return older | {"rope_scaling": None if main["rope_type"] == "default" else scaling}


def _rewrite(file: Path, change: Callable[[Setting], Setting]) -> None:
    settings = change(json.loads(file.read_text(encoding="utf-8")))
    file.write_text(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
