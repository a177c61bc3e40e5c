"""The life of one account on a timeline, decided by the real `settle`: what scenarios and simulations stand on."""
