"""What is asked of a reward besides how good it is: what each person would say, and where it is unsure."""
