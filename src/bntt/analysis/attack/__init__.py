"""Images changed on purpose, within a stated bound, so that a network errs; and what tells whether a number is sound.

Every accuracy found so is an upper bound of the robust one: a better attack may find less.
"""
