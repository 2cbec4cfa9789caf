"""Tasker's state in a SQL database, through SQLAlchemy."""
