"""One trial on a worker: pretraining, adversarial training and re-attack."""
