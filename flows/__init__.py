"""What a person triggers. A flow file only wires stages."""
