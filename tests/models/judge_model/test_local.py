"""A judge model in the process itself, beside what plain transformers says of the same words."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.judge_model.judge_model import Question
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.local import open_model
from models.judge_model.verdicts import Asker, Texts
from models.settings.asked.judge_models import AskedModel
from tests.tolerances import close


def test_the_probabilities_of_options_are_those_of_transformers(config):
    """`10` is two tokens here; P(10) = P(1) P(0 | 1)."""
    messages = ({"role": "user", "content": "which lamp?"},)
    answer = open_model(config).ask(Question(messages=messages, options=("1", "2", "10"), max_tokens=4))
    tokenizer = AutoTokenizer.from_pretrained(config.base.model)
    model = AutoModelForCausalLM.from_pretrained(config.base.model).eval()
    asked = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)
    one, two, zero = (tokenizer(text, add_special_tokens=False).input_ids[0] for text in "120")
    assert len(tokenizer("10", add_special_tokens=False).input_ids) == 2
    with torch.no_grad():
        first = model(torch.tensor([asked])).logits[0, -1].log_softmax(-1)
        then = model(torch.tensor([[*asked, one]])).logits[0, -1].log_softmax(-1)
    expected = [first[one].item(), first[two].item(), (first[one] + then[zero]).item()]
    assert close(list(answer.logprobs.values()), expected, 1e-4)
    assert answer.text == max(answer.logprobs, key=answer.logprobs.get) and answer.prompt_tokens == len(asked)


def test_what_it_says_is_what_transformers_writes_greedily(config):
    messages = ({"role": "user", "content": "my sink is leaking"},)
    said = open_model(config).ask(Question(messages=messages, max_tokens=12))
    tokenizer = AutoTokenizer.from_pretrained(config.base.model)
    model = AutoModelForCausalLM.from_pretrained(config.base.model).eval()
    asked = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    with torch.no_grad():
        written = model.generate(asked, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(asked))
    assert said.text == tokenizer.decode(written[0, asked.shape[1] :], skip_special_tokens=True).strip() != ""


def test_it_compares_and_grades_as_an_endpoint_does_and_reads_no_more_than_it_can(config):
    one = Asker(AskedModel(model=config, preamble=""), "helpfulness", KeptAnswers())
    labels = one.compare([Texts("my sink", ("call", "wait")), Texts("my sink", ("wait", "call"))])
    assert close(labels[0] + labels[1], 1.0), "the other way round"
    assert close(one.compare([Texts("my lamp", ("same", "same"))]), [0.5])
    (grade,) = one.grade([Texts("my lamp", ("change it",))])
    assert -1 <= grade <= 1 and one.tally.unreadable == []
    assert one.compare([Texts("my lamp", ("long " * 600, "wait"))]) == [None]
    assert "tokens, which the model cannot read" in one.tally.shown()[0]
