"""The tiny shop of tests/train, for arms to be trained on."""

from tests.train.conftest import make_samples, make_settings

__all__ = ["make_samples", "make_settings"]
