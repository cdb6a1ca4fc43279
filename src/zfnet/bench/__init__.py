"""`make bench`: ours beside the peers, every pair in one run, printed as ratios; ratio > 1 means ours is better."""
