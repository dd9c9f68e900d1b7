"""One router a surface. A profile names the routers that lead to a family."""
