"""The same fault before bntt and before what others train with; see ``__main__``. Not collected: it needs the peers."""
