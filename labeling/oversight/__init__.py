"""What an overseer wants to know: figures of batches and labelers, disagreements, tables."""
