"""CloudTrail input as AWS writes it, made on demand for the tests, the demo and the bench."""
