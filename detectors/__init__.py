"""Is it worse than it should be: pure judgement of closed intervals, in columns over all signals."""
