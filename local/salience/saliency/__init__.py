"""Saliency maps: what they are, the methods that compute them, and the models that they explain."""
