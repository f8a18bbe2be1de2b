"""From class activation maps to boxes and masks, with baselines that use no map."""
