"""What an experiment file means."""
