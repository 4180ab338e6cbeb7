"""What workflows call."""
