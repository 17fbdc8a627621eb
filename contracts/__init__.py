"""What the rooms agree on: records, configuration, reward table, metric names, the shape of summary.json."""
