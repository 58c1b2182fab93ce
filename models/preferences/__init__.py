"""From what several people said to one order and its pairs: votes, strengths, reliability, agreement, Elo. Loads no torch."""
