"""The roof: joins, times, stores and shows what the three rooms make."""
