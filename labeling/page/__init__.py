"""The labelers' page: a small web server over the feedback store. Knows no torch and no flows."""
