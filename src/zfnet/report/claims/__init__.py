"""What the papers say in words, each with the statistic that tests it."""
