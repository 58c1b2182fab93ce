"""`python -m benchmarks.personal`: see benchmarks/personal/runs.py."""

from benchmarks.personal.runs import main

if __name__ == "__main__":
    main()
