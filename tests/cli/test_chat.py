"""`rein chat`: base and policy on prompts from standard input, as the run sampled; what a model writes cannot command the terminal."""

import io
import re
import shutil
import sys
from pathlib import Path

import pytest

from cli.chat import shown
from models.evaluation.writer import Writer, write_best_of_n
from models.generation.sampling import sample_completions, sample_tokens
from models.network.networks import load_policy
from models.plain_text import printable
from models.rewards.scorer import load_scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from tests.calling import call_rein
from tests.cli.conftest import CONTEXT_LENGTH

SINK, LAMP = "my sink is leaking, what can I do?", "the lamp does not light"


@pytest.fixture
def chat(made_root, quiet_float32, monkeypatch):
    """`rein chat` on a model, with lines on standard input."""

    def call(model, typed: str | io.StringIO, *words: str, root: Path = made_root):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed) if isinstance(typed, str) else typed)
        where = ("--root", str(root), "--tracking-uri", f"sqlite:///{root}/none.db")
        return call_rein("chat", str(model), *words, *where)

    return call


@pytest.fixture
def policy(made_root) -> Path:
    return made_root / "artifacts" / "policy"


def blocks(output: str) -> list[tuple[str, str, str]]:
    """(prompt, model, what it wrote) in the order they were printed."""
    found, prompt = [], ""
    for line in output.splitlines():
        if line.startswith("> "):
            prompt = line[2:]
        elif line.startswith("    "):
            found[-1] = (*found[-1][:2], found[-1][2] + line)
        else:
            found.append((prompt, line, ""))
    return found


def test_base_and_policy_answer_each_prompt_and_are_scored(made_root, chat, policy):
    done = chat(policy, f"{SINK}\n\n{LAMP}\n", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, "")
    found = blocks(done.stdout)
    assert [prompt for prompt, *_ in found] == [SINK, SINK, LAMP, LAMP]
    assert [re.match(r"(base|policy), score -?\d+\.\d\d", head)[1] for _, head, _ in found] == ["base", "policy"] * 2
    network, tokenizer = load_policy(policy / "model")
    compute = Compute()
    scorer = load_scorer(made_root / "artifacts" / "reward-model" / "model", compute)
    for number, (prompt, head, text) in enumerate(found[1::2]):
        (sample,) = sample_completions(
            network, tokenizer, [prompt], max_new_tokens=5, temperature=1.0, batch_size=1, seed=3, numbers=[number]
        )
        score = scorer.score([prompt], [sample.text]).item()
        assert float(re.search(r"score (\S+\d)", head)[1]) == pytest.approx(score, abs=0.0051)
        assert ("cut off after 5 tokens" in head) is not sample.ended
        assert text.split() == (printable(sample.text) or "(nothing)").split()


def test_a_line_goes_on_with_what_the_model_wrote_until_an_empty_one(chat, policy):
    """The template of models from scratch: the user's turn and a line break, the assistant's and the end token."""
    done = chat(policy, "the fuse\nwhy\n\nwhy\n", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, "")
    network, tokenizer = load_policy(policy / "model")

    def wrote(asked: str, number: int) -> str:
        tokens = tokenizer(asked, add_special_tokens=False).input_ids
        how = {"max_new_tokens": 5, "temperature": 1.0, "top_p": 1.0, "batch_size": 1, "seed": 3}
        (drawn,) = sample_tokens(network, [tokens], numbers=[number], **how)
        return tokenizer.decode(drawn.tokens, skip_special_tokens=True).strip()

    begin, end = tokenizer.bos_token, tokenizer.eos_token
    first = wrote(f"{begin}the fuse\n", 0)
    assert first, "else there is nothing to go on with"
    expected = [first, wrote(f"{begin}the fuse\n{first}{end}why\n", 1), wrote(f"{begin}why\n", 2)]
    printed = [text.split() for _, _, text in blocks(done.stdout)[1::2]]
    assert printed == [(printable(one) or "(nothing)").split() for one in expected]


def test_the_seed_decides_and_the_same_prompt_again_is_another_draw(chat, policy):
    first, again, other = (chat(policy, f"{SINK}\n{SINK}\n", "--seed", seed).stdout for seed in ("0", "0", "1"))
    assert first == again != other
    one, two = (text for _, head, text in blocks(first) if head.startswith("policy"))
    assert one != two


def test_what_a_model_writes_commands_no_terminal_and_passes_for_nothing_else(chat, policy):
    evil = "\x1b[2Jgone\x07\u202e\r\npolicy, score 99.00\n> rm -rf"
    lines = ["base, score 0.25", "    �[2Jgone��", "    policy, score 99.00", "    > rm -rf"]
    assert list(shown("base", evil, 0.25, None)) == lines
    done = chat(policy, "\x1b[2J hot\n")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "> �[2J hot" in done.stdout


def test_a_model_of_which_nothing_else_is_known_answers_alone(chat, policy, tmp_path):
    shutil.copytree(policy / "model", tmp_path / "alone")
    done = chat(tmp_path / "alone", f"{SINK}\n")
    assert done.returncode == 0 and [head.partition(",")[0] for _, head, _ in blocks(done.stdout)] == ["policy"]
    assert "base: not known" in done.stderr and "reward: not known" in done.stderr and "score" not in done.stdout
    elsewhere = chat(policy, f"{SINK}\n", root=tmp_path)  # its manifest names artifacts that are not below this root
    assert [head.partition(",")[0] for _, head, _ in blocks(elsewhere.stdout)] == ["policy"]


def test_a_prompt_that_cannot_be_answered_is_said_and_the_next_one_answered(chat, policy):
    done = chat(policy, f"{'water ' * CONTEXT_LENGTH}\n{LAMP}\n")
    assert done.returncode == 0 and [prompt for prompt, *_ in blocks(done.stdout)][-2:] == [LAMP, LAMP]
    (long,) = done.stderr.splitlines()
    assert "longer than the 59 tokens that the context leaves" in long  # 64 - 5


class CtrlC(io.StringIO):
    """A terminal at which somebody answers by Ctrl-C."""

    def readline(self, *_) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("typed", ["", CtrlC()])
def test_it_ends_quietly(chat, policy, typed):
    done = chat(policy, typed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_no_policy_is_refused_in_a_line(made_root, chat, policy, tmp_path):
    shutil.copytree(policy / "model", tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    shutil.copytree(policy / "model", tmp_path / "mute")
    (tmp_path / "mute" / "tokenizer.json").write_text("{}")
    for model, message in [
        (made_root / "artifacts" / "reward-model", "a reward, which writes nothing; `rein score`"),
        (made_root / "ensemble" / "member-1", "a reward, which writes nothing; `rein score`"),
        (made_root, "no model can be loaded from it: "),
        (tmp_path / "half", "no model can be loaded from it: "),
        (tmp_path / "mute", "no model can be loaded from it: "),
        (tmp_path / "gone", "gone: no such folder"),
        ("policy@3", "policy@3: no such folder, and no model is registered"),
    ]:
        done = chat(model, f"{SINK}\n")
        (line,) = done.stderr.strip().splitlines()
        assert done.returncode == 1 and message in line, line
    done = chat(policy, "caf\udce9\n")
    assert done.returncode == 1 and "DataError: standard input, line 1: not UTF-8" in done.stderr


def test_a_policy_that_writes_the_best_of_n_does_so_here_too(made_root, chat, tmp_path):
    base, reward = (made_root / "artifacts" / kind / "model" for kind in ("language-model", "reward-model"))
    write_best_of_n(tmp_path / "best", base, reward, n=3)
    done = chat(tmp_path / "best", f"{LAMP}\n", "--seed", "3")
    assert done.returncode == 0
    ((_, head, text),) = blocks(done.stdout)
    writer = Writer(*load_policy(base), best_of=3, chooser=load_scorer(reward, Compute()))
    (sample,) = writer.complete([LAMP], SamplingConfig(), seed=3)
    assert head.startswith("policy") and text.split() == (printable(sample.text) or "(nothing)").split()
