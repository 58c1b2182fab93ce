"""How the tables of the feedback store came to be: one file per change, applied in turn when a store is opened."""
