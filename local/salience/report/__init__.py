"""From result rows to tables, figures, RESULTS.md and report.html."""
