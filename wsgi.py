"""What gunicorn and flask load: `gunicorn wsgi:app`."""

from whatalker import create_app

app = create_app()
