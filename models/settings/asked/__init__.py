"""The settings of language models that are asked what they think of texts, and of labels by them."""
