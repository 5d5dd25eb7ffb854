"""What the recipes share: data, training, results."""
