"""How much one Valkey, one service and N workers carry when drawing costs no CPU, as with GPUs."""
