"""How good the answers were: metrics, results.json, trajectories and the HTML report."""
