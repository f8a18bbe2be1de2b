"""Generated faults in every input file, and kills at random moments; `make soak` prints how cases ended."""
