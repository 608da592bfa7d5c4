"""Deployments as those who ship tell of them: one file a sender, from the bytes of a request to what it tells."""
