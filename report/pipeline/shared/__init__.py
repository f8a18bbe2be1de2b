"""What several stages need: predictions, boxes, matches, heat maps, intervals."""
