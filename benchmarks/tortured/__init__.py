"""What script/torture does to a daemon, and how it is found out what was lost."""
