"""What is inside a network: hooks, heads, spatial positions and the target layer."""
