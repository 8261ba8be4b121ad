#!/usr/bin/env python3
"""Every code of api/errors.csv has its page; and codes that a whole program raises: probes of others, a station and a cloud that are
asked for too much, at the wrong time, or the wrong thing."""
import csv
import http.client
import json
import os
import select
import subprocess

import cloudrig
import impstation
import imptest
import test_cloud

WAIT_S = 60


class Explain(imptest.TestCase):
    def test_every_code_has_its_page(self):
        with open(os.path.join(os.environ["IMPRINT_SOURCE"], "api", "errors.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertGreater(len(rows), 100)
        for row in rows:
            done = subprocess.run([imptest.program("imprint"), "explain", "E" + row["number"]], capture_output=True, text=True,
                                  timeout=WAIT_S)
            self.assertEqual((done.returncode, done.stderr), (0, ""), row)
            page = " ".join(done.stdout.split())
            for words in ("E" + row["number"], row["name"], row["meaning"], row["likely"], row["do"]):
                self.assertIn(" ".join(words.split()), page)
        for name in ("E1", "E9999", "no-such-thing", ""):
            done = subprocess.run([imptest.program("imprint"), "explain", name], capture_output=True, text=True, timeout=WAIT_S)
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("E1009", done.stderr)


class Probes(imptest.TestCase):
    """Probes on a mocked USB."""

    def on_usb(self, options, spec):
        board = self.board()
        library = next((line.split()[2] for line in subprocess.run(["ldd", imptest.program("flashcli")], capture_output=True, text=True,
                                                                   check=True).stdout.splitlines() if "libasan" in line or "libtsan" in line), None)
        image = os.path.join(self.folder(), "image.bin")
        with open(image, "wb") as f:
            f.write(b"\0" * 64)
        done = subprocess.run([imptest.program("usb-proxy"), "--board", board.dap, *options, "--", imptest.program("flashcli"), spec,
                               "nRF51822", image, "0"], capture_output=True, text=True, timeout=WAIT_S,
                              env=dict(os.environ, **({"LD_PRELOAD": library} if library else {})))
        board.stop()
        return done.returncode, done.stdout + done.stderr

    def test_another_program_has_it(self):
        for options in ([], ["--v1"]):
            status, said = self.on_usb([*options, "--busy"], "usb:")
            self.assertEqual(status, 1, said)
            self.assertIn("E2003 ", said)
            self.assertIn("another program has the probe open", said)

    def test_which_of_two(self):
        status, said = self.on_usb(["--twin"], "usb:")
        self.assertEqual(status, 1, said)
        self.assertIn("E2002 ", said)
        for name in ("USBPROXY1 at 1-1", "USBPROXY1-B at 1-2"):
            self.assertIn(name, said)
        status, said = self.on_usb(["--twin"], "usb:USBPROXY1")
        self.assertEqual(status, 0, said)


class Station(impstation.TestCase):
    def test_configuration(self):
        for text, place, words in (
                ("name: a\nports:\n  - {name: '1', probe: 'serial:/dev/x'}\n", "station.yaml:3:", "tcp:HOST:PORT"),
                ("name: a\nports:\n  - {name: '1', probe: 'tcp:a:1'}\n  - {name: '1', probe: 'tcp:a:2'}\n", "station.yaml:4:", "called '1'"),
                ("name: a\nports:\n  - {name: '1', probe: 'tcp:a:1', power: 'mains:1'}\n", "station.yaml:3:", "scpi:HOST:PORT"),
                ("name: a\ncontrol: %s\nports:\n  - {name: '1', probe: 'tcp:a:1'}\n" % ("x" * 120), "station.yaml:2:", "longer than")):
            done = subprocess.run([imptest.program("imprint-station"), "run", "--config", self.write("station.yaml", text)],
                                  capture_output=True, text=True, timeout=WAIT_S)
            self.assertEqual(done.returncode, 1, text)
            for said in ("E6010", place, words):
                self.assertIn(said, done.stderr)

    def test_stopping(self):
        """Told to stop while a launch runs, it takes no other: that is said while there is somebody to say it."""
        self.keys()
        board = self.board("--fault", "late for=4000000 count=1")
        station = self.station(self.init([board]))
        self.admit(station)
        station.load(self.sap())
        station.launch("Widget")
        station.child.terminate()
        code = 6001  # the port is busy, as long as the signal is on its way
        while code == 6001:
            with self.assertRaises(impstation.ApiError) as caught:
                station.launch("Widget")
            code = caught.exception.code
        self.assertEqual(code, 6006)
        station.stop()

    def test_too_many_wait(self):
        limit, more = 64, 6
        with self.station(self.init([self.board()])) as station:
            last = station.get("/v1/events?after=0&wait_ms=0")["next"]
            waiting = []
            for _ in range(limit + more):
                connection = impstation.UnixConnection(station.socket)
                self.addCleanup(connection.close)
                connection.request("GET", f"/v1/events?after={last}&wait_ms=60000", headers={"Imprint-Protocol": "1"})
                waiting.append(connection)
            refused = set()
            while len(refused) < more:
                ready, _, _ = select.select([c.sock for c in waiting if c not in refused], [], [], WAIT_S)
                self.assertTrue(ready, refused)
                for connection in [c for c in waiting if c.sock in ready]:
                    answer = connection.getresponse()
                    body = json.loads(answer.read())
                    self.assertEqual((answer.status, body["error"]["code"]), (503, 6012), body)
                    self.assertIn("64", body["error"]["text"])
                    refused.add(connection)
            self.assertEqual(station.get("/v1/status")["start"], 1)  # it goes on
            for connection in waiting:
                connection.close()


class Cloud(test_cloud.CloudTest):
    def test_content(self):
        """What is registered and never uploaded is not delivered, and nothing but a JOB is."""
        self.line()
        image, statement, content = self.author.job(3)
        self.ok(self.cloud.request("POST", "/v1/images", statement, self.token), 201)
        self.refused(self.station.request("GET", f"/v1/station/images/{image}/content"), 7009)
        self.author.imprint("seal", "x.impo", "--kind", "sap", "--author-key", "alice.key", "--encrypt-to", "image.pub", "--numbers",
                            "1-9", "-o", "sap.imp")
        upload = lambda data: self.cloud.request("PUT", f"/v1/images/{image}/content", data, self.token)
        self.refused(upload(self.author.read("sap.imp")), 7008)
        self.ok(upload(content))
        self.assertEqual(self.station.request("GET", f"/v1/station/images/{image}/content").body, content)

    def test_busy(self):
        """More logins at once than may wait: who is refused is told to come again, who waits is answered."""
        host, port = self.cloud.address.rsplit(":", 1)
        body = json.dumps({"email": cloudrig.OWNER, "password": cloudrig.PASSWORD}).encode()
        connections = []
        for _ in range(64 + 40):
            connection = http.client.HTTPSConnection(host, int(port), context=self.cloud.context(), timeout=WAIT_S)
            self.addCleanup(connection.close)
            connection.request("GET", "/v1/ca")
            connection.getresponse().read()
            connections.append(connection)
        for connection in connections:
            connection.request("POST", "/v1/login", body, {"Imprint-Protocol": "1"})
        codes = []
        for connection in connections:
            answer = connection.getresponse()
            codes.append(cloudrig.Answer(answer.status, answer.headers, answer.read()).code)
        self.assertEqual(set(codes), {0, 7014}, codes)
        self.assertGreaterEqual(codes.count(0), 64)
        self.cloud.login()


if __name__ == "__main__":
    imptest.main()
