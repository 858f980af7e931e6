"""`python -m datasets.prepare`: fetch the data sets that a program can fetch."""
