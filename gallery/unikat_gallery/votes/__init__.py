"""What people say of drawings: pairs that they choose from, and what follows from their choices."""
