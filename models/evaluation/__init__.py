"""How good it is: figures with intervals, matches of policy against base, what a challenger must show."""
