"""All saliency methods: importing this fills METHODS."""

from salience.saliency import controls, gradcam
from salience.saliency.base import METHODS

__all__ = ["METHODS", "controls", "gradcam"]
