"""What all tests share."""

from hypothesis import settings

# Timing decides no test: a busy machine may take its time over one example.
settings.register_profile("iii-temporal", deadline=None)
settings.load_profile("iii-temporal")
