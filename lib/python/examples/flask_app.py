"""A Flask application with three seats and a registry of its own.

    flask --app flask_app run, or: gunicorn --workers 3 flask_app:app
"""

import os
import secrets

import flask
import sessreg.embedded

app = flask.Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
site = sessreg.embedded.Site(os.environ.get("SESSREG_FOLDER", ".sessreg"), sessions_limit=3).start()
seats = site.client(service="flask")


@app.post("/login")
def login():
    user = flask.request.form["user"]  # whose password you have checked
    device = flask.session.setdefault("device", secrets.token_hex(16))
    try:
        session = seats.admit(user, host=flask.request.remote_addr, device=device)
    except sessreg.Refused as refused:
        return refused.message, 503, {"Retry-After": str(refused.seconds or 30)}
    flask.session.update(user=user, token=session.token)
    return f"Welcome, {user}."


@app.before_request
def touch():
    try:
        if "token" in flask.session:
            seats.touch(flask.session["token"])
    except sessreg.Refused as refused:  # it was idle and lost its seat; the login is kept
        return refused.message, 503
    except (sessreg.Revoked, sessreg.Expired, sessreg.Lost, sessreg.Ended) as over:
        del flask.session["token"]
        return f"You are logged out: {over}.", 403


@app.get("/")
def index():
    return f"Hello, {flask.session['user']}." if "token" in flask.session else "Please log in."


@app.post("/logout")
def logout():
    if "token" in flask.session:
        seats.close(flask.session.pop("token"))
    return "Good bye."
