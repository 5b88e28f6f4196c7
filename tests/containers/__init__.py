"""Tests on a container engine: the delivery suite on Kafka and Postgres, the journey on docker-compose.yml."""
