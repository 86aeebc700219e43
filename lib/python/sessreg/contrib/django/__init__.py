"""A Django app: a seat for each browser's login. How to use it is told by lib/python/django.md."""
