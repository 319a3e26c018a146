"""One trial: pretraining, adversarial training, re-attack, on a worker."""
