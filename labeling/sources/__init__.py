"""Texts, demonstrations and prompts from where the settings say."""
