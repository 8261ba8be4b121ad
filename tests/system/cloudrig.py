"""A real imprint-cloud and a made-up station, for the system tests: Python's own http.client and ssl on one side, the program
on the other. Keys and requests for certificates are made by the openssl program.
"""
import hashlib
import http.client
import json
import os
import re
import secrets
import ssl
import subprocess
import time

import imptest

OWNER = "ann@acme.example"
PASSWORD = "correct horse battery"


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error answer; 0 for a good one."""
        return 0 if self.status < 300 else self.json()["error"]["code"]


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, input=data, timeout=60).stdout


class Cloud:
    """One data folder; the program can be started, stopped and killed."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "cloud")
        self.process = None
        self.address = None
        password_file = os.path.join(folder, "password")
        with open(password_file, "w", encoding="utf-8") as f:
            f.write(PASSWORD + "\n")
        subprocess.run([imptest.program("imprint-cloud"), "init", "--data", self.folder, "--account", "Acme", "--owner", OWNER,
                        "--password-file", password_file, "--url", "https://127.0.0.1:0"], check=True, capture_output=True,
                       timeout=60)

    @property
    def ca_file(self):
        return os.path.join(self.folder, "ca.pem")

    def config(self):
        return os.path.join(self.folder, "cloud.yaml")

    def start(self, *options):
        self.process = imptest.Process([imptest.program("imprint-cloud"), "run", "--config", self.config(), *options],
                                       r"ready: imprint-cloud on https://(\S+)\n")
        self.address = self.process.ready.group(1)

    def stop(self):
        self.process.stop()

    def wait_killed(self):
        """The program kills itself at the point that --test-kill-at names."""
        status = self.process.child.wait(30)
        self.process.child.stdout.close()
        assert status == -9, status

    def check(self):
        done = subprocess.run([imptest.program("imprint-cloud"), "check", "--config", self.config()], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0 and done.stdout == "0 wrong\n", done.stdout + done.stderr

    def context(self, cert=None, key=None, ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(ca or self.ca_file)
        if cert:
            context.load_cert_chain(cert, key)
        return context

    def request(self, method, path, body=None, token=None, context=None, headers=None, protocol="1"):
        """One request on a connection of its own. body: bytes, or what becomes JSON."""
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=context or self.context(), timeout=30)
        all_headers = dict(headers or {})
        if protocol:
            all_headers["Imprint-Protocol"] = protocol
        if token:
            all_headers["Authorization"] = "Bearer " + token
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, path, body, all_headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def login(self, email=OWNER, password=PASSWORD):
        answer = self.request("POST", "/v1/login", {"email": email, "password": password})
        assert answer.status == 200, answer.body
        return answer.json()["token"]


class Station:
    """What a station does, by hand: keys, enrolment, sync."""

    def __init__(self, cloud, folder, name):
        self.cloud = cloud
        self.name = name
        self.folder = os.path.join(folder, "station-" + name)
        os.mkdir(self.folder)
        self.key = os.path.join(self.folder, "tls.key")
        self.cert = os.path.join(self.folder, "tls.pem")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        self.csr = openssl("req", "-new", "-key", self.key, "-subj", "/CN=whatever").decode()
        sealing = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
        self.sealing_key = openssl("ec", "-pubout", data=sealing).decode()
        self.id = None
        self.start_number = 0
        self.ask = 0
        self.seq = 0

    def enrol(self, code):
        match = re.fullmatch(r"imprint-enrol-1\.([0-9a-f]{32})\.([0-9a-f]{64})\.-\.(https://.*)", code)
        assert match, code
        ca_digest = hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER",
                                           data=openssl("x509", "-in", self.cloud.ca_file, "-noout", "-pubkey"))).hexdigest()
        assert match.group(2) == ca_digest, (match.group(2), ca_digest)
        answer = self.cloud.request("POST", "/v1/enrol", {"secret": match.group(1), "csr": self.csr,
                                                           "sealing_key": self.sealing_key, "name": self.name})
        if answer.status == 200:
            self.id = answer.json()["station"]
            with open(self.cert, "w", encoding="utf-8") as f:
                f.write(answer.json()["certificate"])
        return answer

    def request(self, method, path, body=None, headers=None):
        return self.cloud.request(method, path, body, context=self.cloud.context(self.cert, self.key), headers=headers)

    def sync(self, **items):
        return self.request("POST", "/v1/sync", {"protocol": 1, "start_number": self.start_number, **items})

    def hello(self):
        self.start_number += 1
        answer = self.sync(hello={"nonce": secrets.token_hex(16), "journal_position": self.seq})
        assert answer.status == 200, answer.body
        return answer.json()

    def want(self, image, launch=None, port="1"):
        self.ask += 1
        return {"launch": launch or new_launch(), "image": image, "ask": self.ask, "port": port}

    def report(self, grant, image, result="passed", **more):
        self.seq += 1
        return {"launch": grant["launch"], "image": image, "result": result, "seq": self.seq,
                "start_number": self.start_number, "port": "1", "began_real_us": int(time.time() * 1e6),
                "duration_ms": 4200, "numbers": grant.get("numbers", []), **more}


def new_launch():
    """A time-ordered ID (RFC 9562, version 7), as stations make them."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    value = value & ~(0xf << 76) | (7 << 76)
    value = value & ~(3 << 62) | (2 << 62)
    return f"{value:032x}"


class Author:
    """Recipe, keys and sealed JOBs, made by the imprint program."""

    RECIPE = """\
imprint: 1
name: Widget
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
values: {serial: {pool: widget, text: "W-{n:06}", last: 999}}
place: [{value: serial, at: 0x0001F000, size: 16, pad: 0x00}]
releases:
  line: {kind: job, factory: Shenzhen, encrypt-to: image.pub, units: UNITS}
"""

    def __init__(self, cloud, folder):
        self.cloud = cloud
        self.folder = os.path.join(folder, "author")
        os.mkdir(self.folder)
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("data"), XDG_CONFIG_HOME=self.path("config"))
        with open(self.path("app.bin"), "wb") as f:
            f.write(bytes(range(256)) * 5)
        self.imprint("key", "new", "author", "alice")
        self.imprint("key", "new", "image", "image")

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def imprint(self, *args):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=60, env=self.env,
                              cwd=self.folder)
        assert done.returncode == 0, f"{args}\n{done.stdout}{done.stderr}"
        return done.stdout

    def job(self, units, *options):
        """Seals a JOB: its ID, statement and file."""
        with open(self.path("recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(self.RECIPE.replace("UNITS", str(units)))
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        self.imprint("seal", "x.impo", "--recipe", "recipe.yaml", "--release", "line", "--author-key", "alice.key", "--ca",
                     self.cloud.ca_file, "-o", "x.imp", *options)
        return json.loads(self.imprint("inspect", "x.imp", "--json"))["header"]["id"], self.read("x.statement"), self.read("x.imp")
