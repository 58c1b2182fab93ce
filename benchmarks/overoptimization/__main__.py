"""`python -m benchmarks.overoptimization`: see benchmarks/overoptimization/runs.py."""

from benchmarks.overoptimization.runs import main

if __name__ == "__main__":
    main()
