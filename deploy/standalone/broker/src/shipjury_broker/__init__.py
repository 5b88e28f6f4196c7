"""A small one-node log that speaks the Kafka protocol: for one machine, loopback only, no replication, no transactions."""
