"""Rankings that people made and published, and a small model, fetched and put into the form that Rein reads."""
