"""Time to quality: how long until a policy writes what helps, by a rule that no model has seen?"""
