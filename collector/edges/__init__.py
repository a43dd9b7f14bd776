"""Who asks: the network and the clock."""
