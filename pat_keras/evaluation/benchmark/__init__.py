"""Models x training sizes x seeds x folds as one job that can be killed, and what they give beside each other."""
