"""Log-mel spectrograms, STFT, differentiable Kaldi filter banks, and their archives."""
