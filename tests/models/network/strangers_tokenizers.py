"""Tokenizers of the kinds that published models have, each trained on a few lines, with the template of a model that has it."""

import json
from collections.abc import Callable

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import models as kinds
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "How are you? Fine, thanks. My house is too hot: open a window, then close the door.",
    "<|im_start|>user assistant system [INST] [/INST] <s>struck out</s> <|end|> <start_of_turn>model [SEP] [CLS]",
    "What is wrong with the lamp? Change the bulb and look at the fuse; it is 7 < 8 > 6 | 5 / 4 _ ?",
]
ALPHABET = sorted(set("".join(TEXTS)) | {chr(code) for code in range(33, 127)})

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
LLAMA_2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' "
    "+ message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
BERT = "{{ '[CLS] ' }}{% for message in messages %}{{ message['content'] + ' [SEP] ' }}{% endfor %}"


def byte_level(template: str, special: list[str], **named: str) -> PreTrainedTokenizerFast:
    """BPE over bytes: GPT-2, Llama 3, Qwen, SmolLM2."""
    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **named)


def sentence_pieces(template: str, special: list[str], legacy: bool = False, **named: str) -> PreTrainedTokenizerFast:
    """BPE of SentencePiece, with bytes for what it does not know: Llama 2, Mistral, Gemma. It marks where a word begins; `legacy`: also
    where a text does that stands behind a control token."""
    tokenizer = Tokenizer(kinds.BPE(unk_token="<unk>"))
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.pre_tokenizer = metaspace
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=["▁", *ALPHABET], special_tokens=["<unk>", *special], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    vocabulary = learned["vocab"] | {f"<0x{code:02X}>": len(learned["vocab"]) + code for code in range(256)}
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer.model = kinds.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, unk_token="<unk>", **named)


def unigram(template: str, special: list[str], **named: str) -> PreTrainedTokenizerFast:
    """Unigram pieces, which hold the control tokens' names too, behind a normalizer that takes some letters for others: T5, mT5."""
    tokenizer = Tokenizer(kinds.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        initial_alphabet=["▁", "\n", *ALPHABET],
        special_tokens=["<unk>", *special],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, unk_token="<unk>", **named)


def word_pieces(template: str, special: list[str], **named: str) -> PreTrainedTokenizerFast:
    """Pieces of words in small letters: BERT."""
    tokenizer = Tokenizer(kinds.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, initial_alphabet=ALPHABET, special_tokens=["[UNK]", *special], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, unk_token="[UNK]", **named)


HEADERS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "SmolLM2": lambda: byte_level(
        CHATML, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>", pad_token="<|im_end|>"
    ),
    "Llama 3": lambda: byte_level(LLAMA_3, HEADERS, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"),
    "Llama 2": lambda: sentence_pieces(LLAMA_2, ["<s>", "</s>"], legacy=True, bos_token="<s>", eos_token="</s>"),
    "Zephyr": lambda: sentence_pieces(ZEPHYR, ["<s>", "</s>"], bos_token="<s>", eos_token="</s>", pad_token="</s>"),
    "Gemma": lambda: sentence_pieces(
        GEMMA, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], bos_token="<bos>", eos_token="<eos>"
    ),
    "T5": lambda: unigram(ZEPHYR, ["</s>", "<pad>"], eos_token="</s>", pad_token="<pad>"),
    "BERT": lambda: word_pieces(BERT, ["[CLS]", "[SEP]"], eos_token="[SEP]", bos_token="[CLS]"),
}
ENDS = {"SmolLM2": "<|im_end|>", "Llama 3": "<|eot_id|>", "Gemma": "<end_of_turn>", "BERT": "[SEP]"} | dict.fromkeys(
    ("Llama 2", "Zephyr", "T5"), "</s>"
)
"""The token that each template ends a turn with."""
