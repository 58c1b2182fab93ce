"""Language models that label: how quickly they are asked, and what a preamble and chain of thought do."""
