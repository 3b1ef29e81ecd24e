"""A gateway whose clients come with passwords and tokens, and who signs tokens: for tests."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

import gateway
import raw
from gateway import check, wait_for

PLACE = "arn:aws:iot:*:*:"
SECRET = b"a secret of more than thirty-two bytes"


class Stage:
    def __init__(self, gw):
        self.gw = gw
        names = [name for name in gw.doors if not name.startswith("unix")]
        self.ports = [int(name.rsplit(":", 1)[1]) for name in names]

    def user(self, *words, password=None, status=0):
        done = subprocess.run([self.gw.programs["gatehouse"], "--runtime", self.gw.runtime, "user", *words],
                              input=password, capture_output=True, text=True, timeout=raw.LONG, check=False)
        check(done.returncode == status, f"gatehouse user {words}: status {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr

    def policy(self, name, target, *statements):
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": PLACE + resource} for action, resource in statements]}
        self.ctl("policy/create", name=name, document=document)
        self.ctl("policy/attach", name=name, target=target)

    def ctl(self, request, **members):
        answer = self.gw.ctl(request, json.dumps(members).encode())
        check("code" not in answer, f"{request} {members}: {answer}")
        return answer

    def client(self, user, password, client_id="c", door=0, version=5, tls=None):
        return raw.Client(self.ports[door], client_id, version=version, user=user, password=password, tls=tls)

    def refusal(self, user, password, version=5, door=0, **more):
        """The code of CONNACK; 0: it was let in."""
        try:
            self.client(user, password, door=door, version=version, **more).abort()
            return 0
        except AssertionError as refusal:
            return int(str(refusal).rsplit(" ", 1)[1], 16)

    def is_audited(self, what, text):
        def found():
            rows = self.gw.ctl("audit/list", json.dumps({"what": what, "max": 1000}).encode())["entries"]
            return any(text in row["reason"] for row in rows)
        wait_for(found, f"the audit log says {what} … {text}")


class Signer:
    """Makes tokens, signed with a key of RSA or with the secret."""

    def __init__(self, folder):
        self.openssl = gateway.find_tool("openssl")
        self.key, self.public, self.secret = (os.path.join(folder, n) for n in ("jwt.key", "jwt.pem", "jwt.secret"))
        self.run("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        self.run("pkey", "-in", self.key, "-pubout", "-out", self.public)
        with open(self.secret, "wb") as file:
            file.write(SECRET + b"\n")

    def run(self, *words, data=None):
        return subprocess.run([self.openssl, *words], input=data, capture_output=True, check=True).stdout

    def config(self):
        return (f"[jwt idp]\nkey = {self.public}\nissuer = https://idp.example\naudience = plant\n"
                "policies = by-token\n"
                f"[jwt other]\nsecret = {self.secret}\naudience = plant\nclient-id = subject\nleeway = 0s\n[authorizer shop]\ntimeout = 1s\n")

    def token(self, algorithm="RS256", key=None, **claims):
        payload = {"iss": "https://idp.example", "aud": "plant", "sub": "press-07", "exp": time.time() + 600, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
                 for part in ({"alg": algorithm, "typ": "JWT"}, payload)]
        said = b".".join(parts)
        if algorithm == "RS256":
            signature = self.run("dgst", "-sha256", "-sign", self.key, data=said)
        else:
            signature = hmac.new(key or SECRET, said, hashlib.sha256).digest()
        return said + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
