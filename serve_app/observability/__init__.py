"""Grafana dashboards and Prometheus' alert rules, made of the table of metrics."""
