"""In which numbers the layers compute. Parameters, their gradients, their optimisers' state and every last layer are float32 in both."""

import torch


def layers_in(precision: str) -> torch.autocast:
    """Let matrix products within this context be of bfloat16, summed in float32, or of float32 throughout."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
