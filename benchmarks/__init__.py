"""Speed, scale and accuracy, measured and printed as Markdown. Not tests: nothing here can fail a build."""
