"""Clips of a data set: found, checked, decoded and put into batches."""
