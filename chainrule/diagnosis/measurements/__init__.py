"""What several probes measure: fits without a network, folds, heads, losses, rates, first steps."""
