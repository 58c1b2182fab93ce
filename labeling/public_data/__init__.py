"""Rankings that people made and published, fetched and put into the form that Rein reads."""
