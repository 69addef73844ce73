"""Recipes, one file each: schema, reading and writing, and building data and a network from one."""
