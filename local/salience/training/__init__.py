"""Settings, datasets, length-bucketed batches, and the one way a model is trained."""
