"""The stages that judge what has been learned, on prompts that nothing has learned from."""
