"""What happens between a command and its flow."""
