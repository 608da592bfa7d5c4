"""Real counts with exact faults in them: a loss keeps each event with a probability, nothing else is touched."""
