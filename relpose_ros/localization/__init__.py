"""From a query to pose hypotheses by several roads, and the arbiter that picks one or abstains."""
