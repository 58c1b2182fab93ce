"""The feedback store: people's judgements in a database."""
