"""Client programs that we did not write, against a running gateway with simulated providers behind it."""
