"""Does the suite notice? One-line faults, each put into a copy of the checkout, and the tests that must then fail.

    python -m benchmarks.mutants [WORD ...]      those whose name has one of the words; by default all, half an hour

Prints caught or escaped for each, and ends with exit status 1 when one has escaped. Before a test is made shorter or thrown out,
this says what it was there for; after it, that nothing gets through which was caught before.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
TESTS_FAILED = 1  # pytest's exit status; any other but 0 says that the tests did not run


@dataclass(frozen=True)
class Mutant:
    """A text that stands in a file once, and what stands there instead; each of the tests has to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def into(self, checkout: Path) -> None:
        """Puts the fault into the code. Raises LookupError when the table fits the code no more."""
        file = checkout / self.file
        text = file.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise LookupError(f"{self.file} holds the old text of '{self.name}' {text.count(self.old)} times")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTANTS = (
    Mutant(
        "exit status of a refusal",
        "cli/command.py",
        'print(f"\\n{type(error).__name__}: {error}", file=sys.stderr)\n        sys.exit(1)',
        'print(f"\\n{type(error).__name__}: {error}", file=sys.stderr)\n        sys.exit(0)',
        ("tests/flows/test_learn.py::test_bad_rankings_are_named_before_training",),
    ),
    Mutant(
        "refusal before training",
        "models/settings/asked/labels.py",
        "if not of_own_completions(labels):",
        "if False:",
        ("tests/flows/test_learn.py::test_what_cannot_work_is_refused_before_training",),
    ),
    Mutant(
        "cache key without the code",
        "tasks/running/cache_key.py",
        "json.dumps([name, code_digest(*modules), environment_of(modules, inputs), counted]",
        "json.dumps([name, environment_of(modules, inputs), counted]",
        ("tests/flows/test_rlhf.py::test_edited_code_runs_the_stages_that_use_it",),
    ),
    Mutant(
        "cache hit without a look at the files",
        "tasks/running/stage.py",
        "        verify(artifact)\n",
        "        pass\n",
        ("tests/flows/test_rlhf.py::test_a_deleted_file_runs_its_stage_again",),
    ),
    Mutant(
        "registered twice",
        "tasks/tracking/registry.py",
        "    if same := search_versions(client, ",
        "    if same := (lambda *_: [])(client, ",
        ("tests/flows/test_rlhf.py::test_the_same_again_is_all_cached",),
    ),
    Mutant(
        "resume from the beginning",
        "models/training/checkpoints.py",
        "checkpoints.restore(self.parts) if checkpoints else []",
        "[]",
        ("tests/flows/test_resume.py",),
    ),
    Mutant(
        "resume without the random state",
        "models/training/checkpoints.py",
        'return {**parts, "randomness": _GlobalRandomness()}',
        "return {**parts}",
        ("tests/models/tuning/ppo/test_resume.py::test_fine_tuning_with_dropout",),
    ),
    Mutant(
        "cancel leaves the ranks",
        "tasks/running/torch_ranks.py",
        "        agent.kill()\n        agent.stdin.close()  # the ranks see that, and end\n        agent.stdout.read()",
        "        return\n        agent.stdout.read()",
        ("tests/flows/test_ranks.py",),
    ),
    Mutant(
        "two make the same at once",
        "tasks/running/stage.py",
        "        fcntl.flock(lock, fcntl.LOCK_EX)\n",
        "",
        ("tests/flows/test_store.py::test_two_retrainings_at_once_make_everything_once_and_both_come_to_a_decision",),
    ),
    Mutant(
        "withdrawn labelers still count",
        "labeling/store/counted.py",
        "return self.gold_levels is None and not self.is_withdrawn",
        "return self.gold_levels is None",
        ("tests/flows/test_store.py::test_learning_from_the_store_and_withdrawing_from_it",),
    ),
    Mutant(
        "no lineage on the version",
        "tasks/reporting/lineage_report.py",
        "        tag_version(run.tracked, name, number, lineage_tags(found))\n",
        "",
        ("tests/flows/test_store.py::test_learning_from_the_store_and_withdrawing_from_it",),
    ),
    Mutant(
        "half an artifact from the mirror",
        "tasks/running/mirror.py",
        "        verify(artifact)\n",
        "",
        ("tests/flows/test_mirror.py",),
    ),
    Mutant(
        "worse policies are promoted",
        "tasks/champion/promotion.py",
        "if not all(check.holds for check in checks):",
        "if False:",
        ("tests/flows/test_retrain.py",),
    ),
    Mutant(
        "each look at a champion has the same level",
        "models/evaluation/promotion.py",
        "/ ((look + 3) * (look + 4))",
        "/ 20",
        ("tests/models/evaluation/test_promotion.py", "tests/benchmarks/test_false_promotions.py"),
    ),
    Mutant(
        "chance refuses a reward model that is as good",
        "models/evaluation/promotion.py",
        "holds=paired.high >= -max_loss",
        "holds=paired.difference >= -max_loss",
        ("tests/models/evaluation/test_promotion.py",),
    ),
    Mutant(
        "Ray's workers sample otherwise",
        "tasks/running/ray_shards.py",
        '"seed": seed,',
        '"seed": seed + 1,',
        (
            "tests/flows/test_ray.py::test_shards_are_those_of_one_process_and_one_that_fails_ends_it_and_nothing_of_ray_stays",
        ),
    ),
    Mutant(
        "Ctrl-C ends the temporary server first",
        "cli/starting/temporary_server.py",
        "        process_group=0,  # it has to hear of a Ctrl-C, not to end by it\n",
        "",
        ("tests/cli/test_temporary_server.py::test_it_hears_of_a_ctrl_c_before_it_ends",),
    ),
    Mutant(
        "the temporary server outlives its command",
        "cli/starting/temporary_server.py",
        "    os.kill(os.getpid(), signal.SIGTERM)\n",
        "",
        ("tests/cli/test_temporary_server.py::test_it_ends_with_a_command_that_is_killed",),
    ),
    Mutant(
        "make up does not hear SIGTERM",
        "deployments/local/up.py",
        "ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
        "ENDING = (signal.SIGINT, signal.SIGHUP)",
        ("tests/flows/test_up.py::test_the_end_ends_everything_and_runs_say_so",),
    ),
    Mutant(
        "what a program started lives on",
        "deployments/local/programs.py",
        "    _ask_then_kill(started)\n",
        "",
        ("tests/deployments/local/test_programs.py::test_what_a_program_started_ends_with_it_wherever_it_is",),
    ),
    Mutant(
        "Run meets a busy database",
        "deployments/local/prefect_server.py",
        'if scope["type"] != "http" or scope["method"] in',
        'if True or scope["method"] in',
        ("tests/deployments/local/test_prefect_server.py::test_ours_waits_and_makes_one_run",),
    ),
    Mutant(
        "inline scripts run on the page",
        "labeling/page/guard.py",
        "script-src 'self';",
        "script-src 'self' 'unsafe-inline';",
        ("tests/labeling/page/test_guard.py",),
    ),
    Mutant(
        "another site may post",
        "labeling/page/guard.py",
        'return source is not None and urlsplit(source).netloc == headers.get("host")',
        "return True",
        ("tests/labeling/page/test_guard.py",),
    ),
    Mutant(
        "a column that the migration forgot",
        "labeling/store/migrations/versions/0002_retrainings.py",
        '        sa.Column("ended_at", sa.DateTime(timezone=True)),\n',
        "",
        ("tests/labeling/store/test_store.py",),
    ),
    Mutant(
        "an answer sent twice counts twice",
        "labeling/store/judgements.py",
        "        return earlier\n    judgement = Judgement(",
        "        pass\n    judgement = Judgement(",
        ("tests/labeling/store/test_judgements.py",),
    ),
    Mutant(
        "true is a name",
        "labeling/importers/row_names.py",
        "if type(value) is int:",
        "if isinstance(value, int):",
        ("tests/labeling/importers/test_mutated_rows.py",),
    ),
    Mutant(
        "half a character is text",
        "labeling/sources/row_files.py",
        'if b"\\\\u" in line else []',
        "if False else []",
        ("tests/labeling/importers/test_mutated_rows.py",),
    ),
    Mutant(
        "nobody is seen to rank upside down",
        "models/preferences/agreement_report.py",
        "upside_down=looks_upside_down(taus_of[one][~np.isnan(taus_of[one])]),",
        "upside_down=False,",
        ("tests/models/preferences/test_consensus_sabotage.py",),
    ),
    Mutant(
        "an import that the digest does not follow",
        "tasks/running/code_digest.py",
        '            names |= {f"{node.module}.{alias.name}" for alias in node.names}\n',
        "",
        ("tests/test_code_digest.py",),
    ),
    Mutant(
        "consensus loads torch",
        "models/preferences/consensus.py",
        "import numpy as np\n",
        "import numpy as np\nimport torch\n",
        ("tests/test_architecture.py",),
    ),
)


def is_caught(mutant: Mutant) -> bool:
    """Whether each of the tests fails with the fault in the code. Raises LookupError when one does not run."""
    with tempfile.TemporaryDirectory(prefix="rein-mutant-") as folder:
        copy = Path(folder) / "rein"
        shutil.copytree(PROJECT, copy, ignore=NOT_COPIED)
        mutant.into(copy)
        for test in mutant.tests:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
            environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
            try:
                done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
            finally:
                _end_what_is_left(copy)
            if done.returncode not in (0, TESTS_FAILED):
                raise LookupError(f"{test} did not run: {done.stdout[-500:]}")
            if done.returncode == 0:
                return False
    return True


def _end_what_is_left(copy: Path) -> None:
    """Kills what runs the copy's code still: a fault may be that something does not end."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PYTHONPATH") == str(copy):
                process.kill()


def main(words: list[str]) -> int:
    """The number of mutants that escape."""
    escaped = 0
    for mutant in MUTANTS:
        if words and not any(word in mutant.name for word in words):
            continue
        started = time.monotonic()
        caught = is_caught(mutant)
        escaped += not caught
        print(f"{'caught ' if caught else 'ESCAPED'} {time.monotonic() - started:4.0f} s  {mutant.name}", flush=True)
    return escaped


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
