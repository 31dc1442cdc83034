"""Saliency maps: the methods that compute them, and their resolution."""
