"""Networks, layers, losses, encoding and scoring: frames and tensors in, tensors and frames out; no I/O."""
