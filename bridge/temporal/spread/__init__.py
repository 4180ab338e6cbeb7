"""Several namespaces of Temporal seen as one: what looks at all of them, and finds the one that is meant."""
