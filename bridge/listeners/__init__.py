"""Sockets that workers connect to."""
