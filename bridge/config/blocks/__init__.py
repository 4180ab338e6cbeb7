"""One module per block of `iii-config.yaml`; keys, defaults and bounds (spec 05 §4.3)."""
