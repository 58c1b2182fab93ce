"""How a stage is run, cached, kept and shared between machines."""
