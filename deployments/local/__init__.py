"""What `make up` starts on this machine."""
