"""What calls the domain: HTTP, the command line, and the composition root."""
