"""What makes parts of the repository from others."""
