"""Building each part of a bridge from its block, and letting it follow the configuration in force."""
