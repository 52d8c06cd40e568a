"""One file a plot. Each takes `ReportData` and gives a figure, or None when there is nothing to draw."""
