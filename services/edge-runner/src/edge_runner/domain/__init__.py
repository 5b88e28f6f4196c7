"""What a node decides, as pure functions: models and their memory, log-probabilities, versions of its beats."""
