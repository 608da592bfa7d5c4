"""What happened: counts, closed interval by closed interval."""
