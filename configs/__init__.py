"""What is served and how much of it: typed settings, profiles and the sources of weights."""
