"""A small mail platform that really runs, a bad release of it, and Stillwatch watching both."""
