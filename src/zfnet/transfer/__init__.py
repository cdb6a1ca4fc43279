"""Does it transfer? Frozen features, a linear classifier on top: Tables 4 to 7 and Fig. 9 of [ZF13]."""
