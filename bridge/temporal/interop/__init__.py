"""Other people's workflows: what functions may do with them, and how (docs/interop.md)."""
