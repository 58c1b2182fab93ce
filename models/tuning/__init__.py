"""Each way to tune the policy."""
