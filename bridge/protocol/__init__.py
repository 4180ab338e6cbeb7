"""Frames of the worker socket: typed messages and their bytes, without any I/O."""
