"""What the gateway decides: routes, plans, prices, bounds, budgets, health. Pure functions, standard library only."""
