"""The recipes: how the weights under models/ were trained."""
