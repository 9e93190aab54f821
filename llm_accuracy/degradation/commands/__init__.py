"""The subcommands of mcnemar_tests.py."""
