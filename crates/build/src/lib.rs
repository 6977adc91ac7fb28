//! Builds: stages as a graph of steps, run at once, each remembered by what it read.
