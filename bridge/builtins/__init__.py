"""The functions and trigger types iii ships with, one package or module per iii worker."""
