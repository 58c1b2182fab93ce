"""Each kind of judge that needs no world, and what all kinds promise."""
