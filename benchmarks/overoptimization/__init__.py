"""How far a policy can please its reward before others like it less."""
