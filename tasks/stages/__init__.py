"""One thin cached Prefect task per stage: artifacts in, one artifact out."""
