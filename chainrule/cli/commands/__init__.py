"""One file for each command; each is a thin layer over the estimators."""
