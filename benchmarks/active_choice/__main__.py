"""`python -m benchmarks.active_choice`: see benchmarks/active_choice/runs.py."""

from benchmarks.active_choice.runs import main

if __name__ == "__main__":
    main()
