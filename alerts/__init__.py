"""Who must know, in which words, exactly once."""
