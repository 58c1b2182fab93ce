"""Pictures of the pages, drawn by a browser."""
