"""`python -m datasets.check`: are the data sets there, and are they what was published?"""
