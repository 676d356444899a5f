"""What is looked at: service levels as recording rules, and Grafana's dashboards, all made from code."""
