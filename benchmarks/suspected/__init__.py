"""How often suspects are right: tables and a picture of it."""
