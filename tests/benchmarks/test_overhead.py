"""The arithmetic of benchmarks/overhead.py, and that it calls every stage directly. The turns themselves do not run here."""

from benchmarks.overhead import stages_of, summarize
from flows import base, collect, feedback, learn, rlhf


def one(orchestrated: float, direct: float, policy: str = "same") -> dict:
    return {
        "orchestrated": {"seconds": orchestrated, "policy": "same"},
        "direct": {"seconds": direct, "policy": policy},
    }


def test_overhead_is_what_lies_between_the_medians():
    figures = summarize([one(130, 90), one(100, 110), one(121, 100)])
    assert (figures["orchestrated_seconds"], figures["direct_seconds"]) == (121, 100)
    assert (figures["overhead_seconds"], figures["overhead_share"]) == (21, 0.21)
    assert not figures["as_wanted"] and figures["same_policy"]
    assert summarize([one(29, 10)])["as_wanted"], "19 s"
    assert summarize([one(329, 300)])["as_wanted"], "29 s, but less than a tenth"
    assert not summarize([one(29, 10), one(29, 10, policy="another")])["same_policy"]


def test_every_stage_that_a_flow_names_is_known_with_its_body():
    assert {module.__name__: set(stages_of(module)) for module in (base, collect, feedback, learn, rlhf)} == {
        "flows.base": {
            "start_base",
            "prepare_texts",
            "prepare_tuning_texts",
            "sample_tuning_prompts",
            "prepare_demonstrations",
            "pretrain",
            "fine_tune",
            "read_references",
        },
        "flows.collect": {"make_batch", "choose_prompts", "sample_prompts", "generate_completions"},
        "flows.feedback": {"ask_models", "ingest_feedback", "simulate_labels"},
        "flows.learn": {
            *(
                "agree_on_rankings",
                "convert_to_pairs",
                "train_reward_model",
                "tune_policy",
                "play_held_out",
                "evaluate_policy",
            ),
            *("hold_out_labelers", "report_on_reward", "hold_pairs_back", "train_held_out_reward"),
            *("draw_labelers", "convert_own_rankings", "sample_versions", "judge_by_references"),
        },
        "flows.rlhf": set(),
    }
    assert stages_of(learn)["tune_policy"].traits.name == "tuning"
