"""A race on seeded worlds: Stillwatch, the optimum, and what people use instead."""
