"""What a team runs: the compose file, images, and what they need."""
