"""The planted typologies: `plan.py` decides which cases there are, one file for each group builds them."""
