"""Models that exist: attacked again, verified, carried to other data."""
