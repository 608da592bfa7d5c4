"""How the tables came to be as they are, one file for each version that was ever released; Alembic reads them."""
