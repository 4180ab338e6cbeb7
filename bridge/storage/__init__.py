"""Where state and streams are kept."""
