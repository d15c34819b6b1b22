"""Harnesses that tests share, for this project and for those who extend it."""
