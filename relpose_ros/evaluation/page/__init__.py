"""The sections of the HTML report, as functions from `ReportData` to HTML text."""
