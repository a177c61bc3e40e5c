"""`forbear demo`: a late customer from warning to restored, on a live system that it starts and stops itself."""
