"""Where is the object: weakly supervised localisation by saliency and GrabCut, and the ILSVRC score of it."""
