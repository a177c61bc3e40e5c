"""`forbear smoke`: one customer's life on a system that runs already, which is left as it was found."""
