"""The command line: C{twistd kombu}, C{twist kombu} and C{python -m txkombu}."""
