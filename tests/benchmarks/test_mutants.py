"""The table of benchmarks/mutants.py fits the code and the tests. What they catch is tried by running it."""

import pytest

from benchmarks.mutants import MUTANTS, PROJECT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_stands_in_the_file_once_and_its_tests_exist(mutant):
    assert (PROJECT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (PROJECT / file).read_text(encoding="utf-8")


def test_a_fault_is_put_in_or_said_to_fit_no_more(tmp_path):
    (tmp_path / "a.py").write_text("one = 1\ntwo = 2\n")
    Mutant("two", "a.py", "two = 2", "two = 3", ()).into(tmp_path)
    assert (tmp_path / "a.py").read_text() == "one = 1\ntwo = 3\n"
    with pytest.raises(LookupError, match=r"a\.py holds the old text of 'two' 0 times"):
        Mutant("two", "a.py", "two = 2", "two = 4", ()).into(tmp_path)
