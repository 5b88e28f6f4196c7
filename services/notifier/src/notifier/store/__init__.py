"""All SQL of the notifier: subscribers, what changed, issues, deliveries."""
