"""Samplers, one file each; registry.py lists them."""
