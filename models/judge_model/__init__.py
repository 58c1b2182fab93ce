"""Language models that judge texts: what they are asked, how they are reached, and what is made of their answers. No torch but for `local`."""
