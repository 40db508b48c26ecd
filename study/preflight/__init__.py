"""What a size needs, and whether it can be had, before anything is spent."""
