"""Training methods and the resumable runner around them."""
