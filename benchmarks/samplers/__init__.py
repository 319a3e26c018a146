"""How good samplers are on two-objective problems that nobody here made."""
