"""Inputs that must be refused, by category, and the process in which they are tried."""
