"""What the station's system tests share: a station as a process, its control interface, firmware, recipes, keys, images."""
import http.client
import json
import os
import resource
import signal
import socket
import struct
import subprocess

import imptest

FLASH = 256 * 1024
SERIAL_AT = 0x8000

RECIPE = """\
imprint: 1
name: {name}
device: nRF51822
data: {{app: {{file: app.hex}}}}
values:
  serial: {{pool: {pool}, text: "W-{{n:05}}"}}
  uid: {{read: uid}}
place:
  - {{value: serial, at: 0x00008000, size: 12, pad: 0x00}}
steps:
  - read: [uid]
  - erase: all
  - program: [app, values]
  - verify: checksum
  - reset: run
log: [uid, serial]
"""


def intel_hex(data, base=0):
    lines, upper = [], None
    for at in range(0, len(data), 16):
        addr = base + at
        if addr >> 16 != upper:
            upper = addr >> 16
            lines.append(bytes([2, 0, 0, 4, upper >> 8, upper & 255]))
        some = data[at:at + 16]
        lines.append(bytes([len(some), addr >> 8 & 255, addr & 255, 0]) + some)
    lines.append(bytes([0, 0, 0, 1]))
    return "".join(f":{line.hex()}{-sum(line) & 255:02x}\n".upper() for line in lines)


def imprint(*args, env=None):
    """The command line; its JSON result. An error is an assertion."""
    done = subprocess.run([imptest.program("imprint"), *args, "--json"], capture_output=True, text=True, timeout=120, env=env)
    if done.returncode != 0:
        raise AssertionError(f"imprint {args}: {done.returncode} {done.stdout} {done.stderr}")
    return json.loads(done.stdout)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=90):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status
        self.code = body["error"]["code"]
        self.text = body["error"]["text"]


class Station(imptest.Process):
    """imprint-station run on a data folder that init has made."""

    def __init__(self, data, *options, before=(), env=None):
        """before: words of a program that runs it."""
        self.data = data
        # a file that may not grow (disk_full) is an error for the program, not its end
        super().__init__([*before, "env", "--ignore-signal=XFSZ", imptest.program("imprint-station"), "run", "--data", data, *options],
                         r"ready: start (\d+), \d+ ports, control (\S+)\n", env=env)
        self.start = int(self.ready.group(1))
        self.socket = self.ready.group(2)

    def request(self, method, path, body=None, kind="application/json"):
        connection = UnixConnection(self.socket)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
            headers = {"Imprint-Protocol": "1"}
            if body is not None:
                headers["Content-Type"] = kind
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
            self.headers = answer.headers
        finally:
            connection.close()
        if answer.status >= 300:
            raise ApiError(answer.status, json.loads(data))
        return json.loads(data) if answer.headers.get("Content-Type") == "application/json" else data

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=None, kind="application/json"):
        return self.request("POST", path, b"" if body is None else body, kind)

    def delete(self, path):
        return self.request("DELETE", path)

    def load(self, path):
        with open(path, "rb") as f:
            return self.post("/v1/images", f.read(), "application/octet-stream")

    def launch(self, image, ports="all", **more):
        return self.post("/v1/launches", {"image": image, "ports": ports, **more})

    def wait(self, started):
        """Waits, by events, until all launches of a POST's answer have ended; their last documents by launch ID."""
        waiting = {launch["launch"] for launch in started["launches"]}
        ended, after = {}, started["event"]
        while waiting:
            page = self.get(f"/v1/events?after={after}&wait_ms=30000")
            if page["start"] != self.start or page["lost"] or not page["events"]:
                raise AssertionError(f"no end of {waiting}: {page}")
            after = page["next"]
            for event in page["events"]:
                launch = event.get("launch", {})
                if launch.get("launch") in waiting and launch["state"] in ("passed", "failed", "refused"):
                    ended[launch["launch"]] = launch
                    waiting.discard(launch["launch"])
        return [ended[launch["launch"]] for launch in started["launches"]]

    def run(self, image, ports="all", **more):
        return self.wait(self.launch(image, ports, **more))

    def disk_full(self, full):
        """From now on no file of the station takes another byte, as if its disk were full; or it does again."""
        _, hard = resource.prlimit(self.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.child.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

    def records(self, query=""):
        return [json.loads(line) for line in self.get(f"/v1/log?limit=10000{query}").splitlines()]

    def launch_and_die(self, image):
        """Starts a launch on a station that ends itself with SIGKILL in it; perhaps before it has answered."""
        try:
            self.launch(image)
        except (http.client.HTTPException, OSError):
            pass
        self.wait_dead()

    def wait_dead(self):
        status = self.child.wait(30)
        self.child.stdout.close()
        if status != -signal.SIGKILL:
            raise AssertionError(f"ended with {status}: {self.errors()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            self.stop()
        else:
            self.kill()


class TestCase(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        # a vector table (stack, reset handler 0x41), `b .` at 0x40, and some bytes
        self.app = struct.pack("<II", 0x20002000, 0x41).ljust(0x40, b"\0") + b"\xfe\xe7" + bytes(i * 7 & 255 for i in range(6000))
        self.write("app.hex", intel_hex(self.app))
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("xdg-data"), XDG_CONFIG_HOME=self.path("xdg-config"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def imprint(self, *args):
        return imprint(*args, env=self.env)

    SUITE = "1"

    def keys(self):
        self.imprint("key", "new", "author", "author", "--dir", self.dir, "--suite", self.SUITE)
        self.imprint("key", "new", "image", "image", "--dir", self.dir, "--suite", self.SUITE)

    def object(self, name="Widget", pool="widget-serial"):
        recipe = self.write(f"{name}.yaml", RECIPE.format(name=name, pool=pool))
        self.imprint("build", recipe, "-o", self.path(f"{name}.impo"))
        return self.path(f"{name}.impo")

    def sap(self, *options, name="Widget", out="widget.imp", encrypted=True, numbers="1-99999", author="author.key", **more):
        more_options = ["--encrypt-to", self.path("image.pub")] if encrypted else []
        more_options += ["--author-key", self.path(author)] if author else []
        more_options += ["--numbers", numbers] if numbers else []
        self.imprint("seal", self.object(name, **more), "--kind", "sap", *more_options,
                     "-o", self.path(out), *options)
        return self.path(out)

    def init(self, boards, name="station"):
        """A data folder with a port for each board."""
        data = self.path(name)
        subprocess.run([imptest.program("imprint-station"), "init", "--data", data, "--name", name,
                        *[f"tcp:{board.dap}" for board in boards]], check=True, capture_output=True, timeout=30)
        return data

    def station(self, data, *options, **more):
        station = Station(data, *options, **more)
        self.addCleanup(station.kill)
        return station

    def admit(self, station):
        """The station trusts the author and gets the image key."""
        with open(self.path("author.pub"), encoding="utf-8") as f:
            station.post("/v1/trust", {"name": "author", "public_key": f.read()})
        self.grant(station)

    def grant(self, station):
        fingerprint = station.get("/v1/keys")["sealing"]["fingerprint"]
        self.imprint("key", "grant", self.path("image.key"), "--socket", station.socket, "--fingerprint", fingerprint, "--yes")

    @staticmethod
    def wait_for(station, what, wanted, seconds=30):
        """Asks what() again after each event of the station, until wanted(it)."""
        after = station.get("/v1/status")["events_next"]
        end = imptest.time.monotonic() + seconds
        while True:
            value = what()
            if wanted(value):
                return value
            if imptest.time.monotonic() > end:
                raise AssertionError(f"still {value} after {seconds} s: {station.errors()}")
            after = station.get(f"/v1/events?after={after}&wait_ms=200")["next"]

    def expected(self, serial):
        memory = bytearray(b"\xff" * FLASH)
        memory[:len(self.app)] = self.app
        memory[SERIAL_AT:SERIAL_AT + 12] = serial.encode().ljust(12, b"\0")
        return bytes(memory)


def free_port():
    """A port that nobody listens on now; the kernel does not give it out again soon."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cloud(imptest.Process):
    """imprint-cloud run on a folder that init has made."""

    def __init__(self, folder, *options):
        super().__init__([imptest.program("imprint-cloud"), "run", "--config", os.path.join(folder, "cloud.yaml"), *options],
                         r"ready: imprint-cloud on (https://\S+)\n")


class CloudTestCase(TestCase):
    """A cloud with one factory (north, group line), an author, and somebody who is logged in."""

    def setUp(self):
        super().setUp()
        self.keys()
        self.cloud_folder = self.path("cloud")
        self.url = f"https://127.0.0.1:{free_port()}"
        password = self.write("password", "correct horse battery staple\n")
        subprocess.run([imptest.program("imprint-cloud"), "init", "--data", self.cloud_folder, "--account", "acme", "--owner",
                        "owner@acme.example", "--password-file", password, "--url", self.url], check=True, capture_output=True,
                       timeout=60)
        self.start_cloud()
        self.imprint("cloud", "login", self.url, "--ca", os.path.join(self.cloud_folder, "ca.pem"), "--user", "owner@acme.example",
                     "--password-file", password)
        self.imprint("cloud", "factory", "add", "north")
        self.imprint("cloud", "group", "add", "line", "--factory", "north")
        self.imprint("cloud", "author", "add", self.path("author.pub"), "--name", "author")

    def start_cloud(self, *options):
        self.cloud = Cloud(self.cloud_folder, *options)
        self.addCleanup(self.cloud.kill)

    def enrol(self, station):
        code = self.path("code")
        if os.path.exists(code):
            os.unlink(code)
        self.imprint("cloud", "station", "enrol-code", "--factory", "north", "--group", "line", "-o", code)
        with open(code, encoding="utf-8") as f:
            return station.post("/v1/enrol", {"code": f.read().strip()})

    def job(self, *options, name="Widget", out="job.imp"):
        """Seals a JOB and registers it; its ID."""
        self.imprint("seal", self.object(name), "--kind", "job", "--author-key", self.path("author.key"), "--encrypt-to",
                     self.path("image.pub"), "--factory", "north", "-o", self.path(out), *options)
        statement = os.path.splitext(self.path(out))[0] + ".statement"
        return self.imprint("cloud", "image", "register", statement)["image"]

    def upload(self, out="job.imp"):
        return self.imprint("cloud", "image", "upload", self.path(out))

    def cloud_log(self):
        return self.imprint("cloud", "log", "--limit", "1000")["records"]

    def cloud_image(self, image):
        return next(i for i in self.imprint("cloud", "image", "list")["images"] if i["image"] == image)

    def check_cloud(self):
        """Stops the cloud and recomputes every count of its database."""
        self.cloud.stop()
        done = subprocess.run([imptest.program("imprint-cloud"), "check", "--config", os.path.join(self.cloud_folder, "cloud.yaml")],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "0 wrong\n"), done.stderr)

    def wait_cloud(self, station, state="welcomed", reports=None):
        return self.wait_for(station, lambda: station.get("/v1/cloud"),
                             lambda c: c["state"] == state and (reports is None or c.get("reports_waiting") == reports))

    def wait_image(self, station, image, usable=True):
        def find():
            return next((i for i in station.get("/v1/images")["images"] if i["id"] == image), None)
        return self.wait_for(station, find, lambda i: i is not None and i["usable"] == usable)
