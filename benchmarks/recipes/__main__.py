"""`python -m benchmarks.recipes`: see benchmarks/recipes/runs.py."""

from benchmarks.recipes.runs import main

if __name__ == "__main__":
    main()
