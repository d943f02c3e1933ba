"""Speed-quality curves of several runs, averaged over seeds, from stored exit sweeps or stored logits."""
