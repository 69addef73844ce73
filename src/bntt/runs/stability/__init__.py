"""How steadily a recipe trains, from several starts."""
