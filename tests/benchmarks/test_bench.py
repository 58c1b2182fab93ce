"""The arithmetic of `make bench`, its results file, and the scenario that both sides run. The peers themselves do not run here."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import bench, parts, scenario, turns
from benchmarks.own.matrix_rate import counted, matrix_rate
from models.generation.sampling import sample_tokens
from tests.tolerances import close

WANTED = {
    "ppo_full_ratio": 2.0,
    "ppo_natural_ratio": 3.0,
    "reward_k2_ratio": 0.95,
    "reward_k4_ratio": 8.0,
    "reward_k9_ratio": 20.0,
    "generate_natural_ratio": 3.5,
}
CONTENDER = """
import sys
turn = 0
while sys.stdin.readline():
    turn += 1
    with open("order", "a") as order:
        order.write(f"{sys.argv[0][-4]}{turn} ")
    if turn == 3:
        sys.exit("out of memory")
    print('{"seconds": %d, "amount": 2}' % (10 * turn), flush=True)
"""


def test_a_ratio_is_what_the_peers_unit_costs_over_what_ours_costs():
    ours = [{"seconds": 2.0, "amount": 4}, {"seconds": 1.0, "amount": 1}, {"seconds": 3.0, "amount": 2}]
    theirs = [{"seconds": 6.0, "amount": 4}, {"seconds": 5.0, "amount": 2}, {"seconds": 9.0, "amount": 3}]
    assert turns.ratios(ours, theirs) == [3.0, 2.5, 2.0]  # 1.5/.5, 2.5/1, 3/1.5
    assert turns.medians(ours) == {"seconds": 2.0, "amount": 2, "cost": 1.0}  # costs .5, 1, 1.5


def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> list[turns.Contender]:
    """Real processes that answer 10, 20, ... seconds and fail in their third turn."""
    monkeypatch.setattr(turns, "PROJECT", tmp_path)
    for name in names:
        (tmp_path / f"{name}.py").write_text(CONTENDER)
    return [turns.Contender(Path(sys.executable), name, {"threads": 1}) for name in names]


def test_contenders_alternate_and_the_first_round_is_dropped(tmp_path, monkeypatch):
    a, b = started(tmp_path, monkeypatch, "ab")
    with a, b:
        figures = turns.take_turns([a, b], repetitions=1)
    assert figures == [[{"seconds": 20, "amount": 2}], [{"seconds": 20, "amount": 2}]]
    assert (tmp_path / "order").read_text() == "a1 b1 a2 b2 "


def test_a_contender_that_fails_says_why(tmp_path, monkeypatch):
    (a,) = started(tmp_path, monkeypatch, "a")
    with pytest.raises(RuntimeError, match=r"a .* failed:\nout of memory"), a:
        turns.take_turns([a], repetitions=2)


@pytest.mark.parametrize(
    ("module", "settings", "amount"),
    [
        ("benchmarks.own.ppo", {"ends": True, "batch_size": 4}, 1),
        pytest.param(
            *("benchmarks.own.reward", {"num_completions": 3, "num_rankings": 4, "batch_size": 2}, 4),
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            *("benchmarks.own.generation", {"ends": False, "num_prompts": 2}, 2 * scenario.MAX_NEW_TOKENS),
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_our_contenders_run(module, settings, amount):
    with turns.Contender(Path(sys.executable), module, settings | {"precision": "float32", "threads": 1}) as contender:
        answer = contender.repeat()
    assert answer["amount"] == amount and answer["seconds"] > 0
    assert ("matrix_seconds" in answer) == (module == "benchmarks.own.ppo")


def test_operations_of_matrix_products_are_counted_forward_and_backward():
    left, right = torch.randn(3, 4, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    product, num_forward = counted(lambda: left @ right)
    _, num_backward = counted(lambda: product.sum().backward())
    assert (num_forward, num_backward) == (2 * 3 * 4 * 5, 2 * 2 * 3 * 4 * 5)
    assert matrix_rate(torch.float32) > 1e8


def test_the_share_of_matrix_products_stands_in_the_results(tmp_path):
    update = {"own": {"matrix_seconds": 3.0, "cost": 8.0}}
    kept = bench.summary({"ppo_full": figures(2.0, **update), "ppo_natural": figures(3.0, own={"cost": 4.0})})
    assert kept["ppo_matrix_share"] == 0.375
    assert "ppo_matrix_share" not in bench.summary({"ppo_natural": figures(3.0, **update)})


@pytest.mark.parametrize(("can", "precisions"), [(True, ["bfloat16", "float32"]), (False, ["float32"])])
def test_what_is_only_imitated_is_not_measured(monkeypatch, can, precisions):
    monkeypatch.setattr(bench, "computes_in_bfloat16", lambda: can)
    for part in parts.PARTS:
        assert [one["precision"] for one in bench.computed_here(part.own_settings)] == precisions
        assert bench.computed_here(part.peer_settings), part.name


def figures(ratio: float, **about) -> dict:
    return {"ratio": ratio} | about


def test_results_have_a_ratio_for_every_part_and_keep_those_that_were_not_run(tmp_path):
    file = tmp_path / "bench.json"
    for number, part in enumerate(reversed(parts.PARTS)):
        bench.keep(file, part.name, figures(float(number), commit="first"))
    bench.keep(file, "ppo_full", figures(3.5, commit="second"))
    kept = json.loads(file.read_text())
    assert {name: kept[name] for name in ("ppo_full_ratio", "generate_natural_ratio")} == {
        "ppo_full_ratio": 3.5,
        "generate_natural_ratio": 2.0,  # the third from the end
    }
    assert WANTED.keys() <= kept.keys()
    assert kept["parts"]["ppo_full"]["commit"] == "second"
    assert kept["parts"]["ppo_natural"]["commit"] == "first"


def test_what_is_wanted_is_written_with_the_parts():
    assert WANTED.items() <= {f"{part.name}_ratio": part.wanted for part in parts.PARTS}.items()


def test_both_sides_of_a_reward_part_pass_over_the_same_rankings():
    for part in parts.PARTS:
        if part.name.startswith("reward"):
            settings = [*part.own_settings, *part.peer_settings]
            assert len({(one["num_rankings"], one["num_completions"]) for one in settings}) == 1
            for one in part.own_settings:
                assert one["num_rankings"] % one["batch_size"] == 0, "else a turn would be no whole pass"


def test_the_model_ends_naturally_near_a_third_of_the_limit_or_never():
    prompts = scenario.build_prompts(128)
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    lengths = {}
    for end_probability in (scenario.END_PROBABILITY, 0.0):
        rows = sample_tokens(
            scenario.build_policy(end_probability, **small),
            prompts,
            max_new_tokens=scenario.MAX_NEW_TOKENS,
            temperature=1.0,
            top_p=1.0,
            batch_size=128,
            seed=0,
        )
        completions = [row.tokens for row in rows]
        lengths[end_probability] = sum(map(len, completions)) / len(completions)
        assert not any(scenario.PAD in completion for completion in completions)
    assert lengths[0.0] == scenario.MAX_NEW_TOKENS
    # a length's standard deviation is about 18, that of the mean of 128 about 1.6; a third of the limit is 21.3
    assert close(lengths[scenario.END_PROBABILITY], scenario.MAX_NEW_TOKENS / 3, tolerance=5.0)


def test_the_text_of_a_prompt_is_read_as_its_tokens():
    tokenizer = scenario.build_tokenizer()
    (prompt,) = scenario.build_prompts(1)
    message = [{"role": "user", "content": scenario.text_of(prompt)}]
    rendered = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    assert tokenizer(rendered, add_special_tokens=False).input_ids == prompt
    assert tokenizer.decode(prompt) == scenario.text_of(prompt)


def test_rankings_have_completions_of_natural_length_and_all_their_pairs():
    rankings = scenario.build_rankings(200, 4)
    lengths = [len(sequence) - scenario.PROMPT_TOKENS for ranking in rankings for sequence in ranking]
    assert len(lengths) == 800 and min(lengths) >= 1 and max(lengths) == scenario.MAX_NEW_TOKENS
    # mean of a geometric length cut at 64: 21 (1 - (20/21)^64) = 20.1; standard deviation of the mean of 800 about .6
    assert close(sum(lengths) / 800, 21 * (1 - (20 / 21) ** 64), tolerance=2.0)
    assert all(sequence[-1] == scenario.END for ranking in rankings for sequence in ranking)
    assert scenario.ranked_pairs(3) == [(0, 1), (0, 2), (1, 2)]
    assert len(scenario.ranked_pairs(9)) == math.comb(9, 2)


@pytest.mark.parametrize(("kernels", "file"), [("AVX512", "bench.json"), ("AVX2", "bench_avx2.json")])
def test_each_kind_of_processor_has_results_of_its_own(monkeypatch, kernels, file):
    monkeypatch.setattr(bench, "describe_processor", lambda: {"kernels": kernels})
    assert bench.results("bench") == bench.RESULTS / file
