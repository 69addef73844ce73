"""Adversarial images within a stated bound, and checks of whether the resulting accuracies are sound.

Every accuracy found this way is an upper bound of the robust one: a better attack may lower it.
"""
