"""What the notifier knows without any framework: digests, tokens, deliveries."""
