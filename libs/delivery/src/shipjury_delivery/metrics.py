"""What delivery counts, for Prometheus. ``docs/runbooks/`` says what to do about each alert on them."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Histogram(
    "shipjury_http_request_seconds",
    "Duration of HTTP requests until the last byte.",
    ("service", "port", "method", "route", "status"),
    buckets=_SECONDS,
)
HANDLED = Histogram(
    "shipjury_consume_batch_seconds", "Duration of a batch: effects and commit.", ("group",), buckets=_SECONDS
)
CONSUMED = Counter(
    "shipjury_consumed_total",
    "Records by what became of them: applied, duplicate, dead, ignored.",
    ("group", "outcome"),
)
RETRIES = Counter("shipjury_consume_retries_total", "Tries that failed, by why.", ("group", "why"))
HELD = Gauge("shipjury_subscriber_held", "1 while a subscriber waits past its limit of dead letters.", ("group",))
DEAD = Counter("shipjury_dead_letters_total", "Messages put to the dead letters.", ("group", "topic", "why"))
LAG = Gauge("shipjury_consumer_lag", "Records behind the end of the partition.", ("group", "topic", "partition"))
AGE = Gauge("shipjury_consumer_age_seconds", "Age of the last applied record when it was applied.", ("group", "topic"))
OUTBOX_UNSENT = Gauge("shipjury_outbox_unsent", "Outbox rows that are not sent yet.", ("service",))
OUTBOX_AGE = Gauge("shipjury_outbox_age_seconds", "Age of the oldest unsent outbox row.", ("service",))
OUTBOX_PARKED = Gauge("shipjury_outbox_parked", "Outbox rows that the broker refuses.", ("service",))
SENT = Counter("shipjury_outbox_sent_total", "Outbox rows sent.", ("service", "topic"))
RELAYING = Gauge("shipjury_outbox_relaying", "1 where this process is the relay.", ("service",))
JOBS = Gauge("shipjury_jobs", "Jobs by state.", ("service", "kind", "state"))
JOB_SECONDS = Histogram(
    "shipjury_job_seconds",
    "Duration of an attempt, by how it ended: done, failed, dead, lost, released.",
    ("service", "kind", "outcome"),
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900),
)
BACKGROUND_RESTARTS = Counter("shipjury_background_restarts_total", "Loops that failed and run again.", ("service",))
