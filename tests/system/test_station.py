#!/usr/bin/env python3
"""imprint-station as a process, with virtual boards and stand-alone images: what it programs, counts, refuses and survives."""
import json
import os
import shutil
import socket
import subprocess
import threading

import impstation
import imptest


class Life(impstation.TestCase):
    def run_station(self, *args):
        return subprocess.run([imptest.program("imprint-station"), *args], capture_output=True, text=True, timeout=30)

    def test_usage(self):
        for args in ([], ["dance"], ["run"], ["run", "--data", "a", "--config", "b"], ["init", "--data", "x"],
                     ["run", "--data", "x", "--test-kill-at", "noon"], ["run", "--colour"]):
            done = self.run_station(*args)
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)
            self.assertIn("usage:", done.stderr)
        self.assertEqual(self.run_station("--help").returncode, 0)
        self.assertRegex(self.run_station("--version").stdout, r"^imprint-station \d+\.\d+\.\d+\n$")

    def test_broken_configuration(self):
        rows = [
            ("name: a\nports: []\n", "station.yaml:2:"),
            ("name: a\n", "ports"),
            ("ports:\n  - {name: '1', probe: 'tcp:127.0.0.1:1'}\n", "name"),
            ("name: a\nport:\n  - {name: '1', probe: 'tcp:127.0.0.1:1'}\n", "did you mean 'ports'"),
            ("name: a\nports:\n  - {name: '1', probe: 'serial:/dev/x'}\n", "station.yaml:3:"),
            ("name: a\nports:\n  - {name: '1', probe: 'tcp:a:1', power: battery}\n", "a supply is written scpi:HOST:PORT"),
            ("name: a\nports:\n  - {name: '1', probe: 'tcp:a:1'}\n  - {name: '1', probe: 'tcp:a:2'}\n", "station.yaml:4:"),
            ("name: a\nstop-limit: soon\nports:\n  - {name: '1', probe: 'tcp:a:1'}\n", "station.yaml:2:"),
            ("name: [\n", "station.yaml:"),
        ]
        for text, said in rows:
            path = self.write("station.yaml", text)
            done = self.run_station("run", "--config", path)
            self.assertEqual((done.returncode, done.stdout), (1, ""), text)
            self.assertIn(said, done.stderr, text)
        done = self.run_station("run", "--config", self.path("nothing.yaml"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing.yaml", done.stderr)

    def test_one_station_a_folder(self):
        data = self.init([self.board()])
        station = self.station(data)
        second = self.run_station("run", "--data", data)
        self.assertEqual(second.returncode, 1)
        self.assertIn("E6009", second.stderr)
        self.assertEqual(station.get("/v1/status")["start"], 1)  # the first one goes on
        station.stop()
        with self.station(data) as again:
            self.assertEqual(again.start, 2)
        again_init = self.run_station("init", "--data", data, "tcp:127.0.0.1:1")
        self.assertEqual(again_init.returncode, 1)
        self.assertIn("E1008", again_init.stderr)

    def test_secrets_on_disk(self):
        self.keys()
        image = self.sap()
        data = self.init([self.board()])
        with self.station(data) as station:
            self.admit(station)
            station.load(image)
            self.assertEqual([x["state"] for x in station.run("Widget")], ["passed"])
        with open(self.path("image.key"), "rb") as f:
            pem = f.read()
        key = next(line for line in pem.splitlines() if len(line) == 64 and b" " not in line)  # of its base64
        secret = bytes(self.app[0x42:0x142])
        for folder, _, names in os.walk(data):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue
                with open(path, "rb") as f:
                    content = f.read()
                self.assertNotIn(secret, content, path)
                self.assertNotIn(key, content, path)
                if name.endswith(".key"):
                    self.assertEqual(os.stat(path).st_mode & 0o777, 0o600, path)
        self.assertEqual(sorted(os.listdir(os.path.join(data, "keys"))), ["authors.json", "granted", "sealing.key", "tls.key"])

    def test_requests_refused(self):
        data = self.init([self.board()])
        station = self.station(data)
        rows = [
            ("GET", "/v1/nothing", None, 7101), ("PUT", "/v1/status", b"", 7102), ("POST", "/v1/launches", b"{", 7108),
            ("POST", "/v1/launches", {"image": "x"}, 7108), ("POST", "/v1/launches", {"image": "x", "ports": "some"}, 7108),
            ("POST", "/v1/launches", {"image": "x", "ports": [1]}, 7108),
            ("POST", "/v1/launches", {"image": "x", "ports": "all", "colour": "red"}, 7108),
            ("POST", "/v1/launches", {"image": "x", "ports": "all"}, 1009), ("POST", "/v1/launches", {"image": "x", "ports": ["9"]}, 1009),
            ("GET", "/v1/images/00", None, 1009), ("DELETE", "/v1/images/" + "0" * 32, None, 1009),
            ("POST", "/v1/images", b"not an image, but long enough to be one of something else", 3001),
            ("GET", "/v1/launches/" + "0" * 32, None, 1009), ("POST", "/v1/launches/x/cancel", b"", 1009),
            ("POST", "/v1/keys", b"nonsense", 3010), ("DELETE", "/v1/keys/12", None, 1009), ("DELETE", "/v1/keys/" + "0" * 64, None, 1009),
            ("POST", "/v1/trust", {"name": "a", "public_key": "x"}, 3101), ("DELETE", "/v1/trust/" + "0" * 64, None, 1009),
            ("GET", "/v1/log?format=xml", None, 1001), ("GET", "/v1/log?image=7", None, 1001), ("GET", "/v1/log?result=good", None, 1001),
            ("GET", "/v1/events?after=x", None, 1001), ("GET", "/v1/events?wait_ms=60001", None, 1001),
            ("POST", "/v1/enrol", {"code": "abc"}, 1001),
        ]
        for method, path, body, code in rows:
            with self.assertRaises(impstation.ApiError, msg=f"{method} {path}") as caught:
                station.request(method, path, body)
            self.assertEqual(caught.exception.code, code, f"{method} {path} {body}: {caught.exception}")
        self.assertEqual(station.get("/v1/images")["images"], [])
        self.assertEqual(station.get("/v1/cloud")["state"], "none")
        station.stop()


class Sap(impstation.TestCase):
    def setUp(self):
        super().setUp()
        self.keys()

    def test_two_boards(self):
        boards = [self.board("--seed", "1"), self.board("--seed", "2")]
        image = self.sap("--units", "5")
        with self.station(self.init(boards)) as station:
            self.admit(station)
            loaded = station.load(image)
            self.assertEqual((loaded["kind"], loaded["encrypted"], loaded["usable"], loaded["source"]), ("sap", True, True, "local"))
            ends = station.run(loaded["id"], order="A-17", person="ann")
            self.assertEqual([x["state"] for x in ends], ["passed", "passed"], ends)
            self.assertEqual([x["numbers"][0]["text"] for x in ends], ["W-00001", "W-00002"])
            for board, end in zip(boards, ends):
                self.assertEqual(board.dump(0, impstation.FLASH), self.expected(end["numbers"][0]["text"]))
            log = station.records()
            self.assertEqual([r["result"] for r in log], ["passed", "passed"])
            for record, end in zip(sorted(log, key=lambda r: r["port"]), ends):
                for member in ("launch", "image", "port", "order", "person", "uid", "numbers", "reads", "duration_ms"):
                    self.assertEqual(record[member], end[member], member)
                self.assertEqual((record["kind"], record["image_name"], record["code"]), ("sap", "Widget", 0))
                self.assertEqual(len(record["uid"]), 16)
                self.assertEqual(record["reads"], [{"name": "uid", "bytes": record["uid"]}])
            self.assertEqual(len({r["uid"] for r in log}), 2)
            counts = station.get("/v1/images")["images"][0]["counts"]
            self.assertEqual((counts["units"], counts["passed"], counts["open"]), (5, 2, 0))
            csv = station.get("/v1/log?format=csv").decode().split("\r\n")
            self.assertEqual((len(csv), csv[0].split(",")[0], csv[-1]), (4, "cursor", ""))
            self.assertEqual(station.get("/v1/statistics")["ports"][0]["passed"], 1)
            status = station.get("/v1/status")
            self.assertEqual([p["state"] for p in status["ports"]], ["idle", "idle"])
            self.assertEqual([p["launch"]["state"] for p in status["ports"]], ["passed", "passed"])
            inspected = station.get(f"/v1/images/{loaded['id']}")
            self.assertEqual(inspected["content"]["restrictions"], {"units": 5, "numbers": [{"pool": "widget-serial.1-99999", "first": 1, "last": 99999}]})
            self.assertEqual(inspected["content"]["pools"], ["widget-serial.1-99999"])

    def test_progress(self):
        with self.station(self.init([self.board()])) as station:
            self.admit(station)
            station.load(self.sap())
            started = station.launch("Widget")
            station.wait(started)
            events = [e["launch"] for e in station.get(f"/v1/events?after={started['event']}")["events"]]
            phases = [e["phase"] for e in events if e["state"] == "working"]
            order = [p for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p]
            self.assertEqual(order, ["attach", "read", "erase", "program", "verify", "reset"])
            self.assertEqual(events[-1]["state"], "passed")
            self.assertGreater(sum(events[-1]["phase_ms"].values()), 0)

    def test_supply_of_a_port(self):
        """The port's supply is switched and measured; out of its limits nothing is written, and the number is free again."""
        board = self.board("--power-port", "127.0.0.1:0")
        data = self.init([board])
        path = os.path.join(data, "station.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        probe = f'probe: "tcp:{board.dap}"'
        self.assertIn(probe, text)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(probe, f'{probe}, power: "scpi:{board.ports["power"]}/1"'))
        recipe = impstation.RECIPE
        self.addCleanup(setattr, impstation, "RECIPE", recipe)
        impstation.RECIPE = recipe + "power: {{volts: 3.3 V, limits: 3.2 V to 3.4 V, off-at-end: true}}\n"
        with self.station(data) as station:
            self.admit(station)
            station.load(self.sap())
            end = station.run("Widget")[0]
            self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", "W-00001"), end)
            self.assertEqual(end["link"]["hz"], 1000000)
            self.assertEqual(board.status()["powered"], 0)
            board.control("next")
            board.control("supply load 200")
            end = station.run("Widget")[0]
            self.assertEqual((end["state"], end["result"], end["error"]["code"]), ("failed", "failed", 2307), end)
            self.assertEqual((board.status()["powered"], board.status()["words_programmed"] > 0), (0, True))
            board.control("supply load 20")
            end = station.run("Widget")[0]
            self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", "W-00002"), end)
            header, _, row, *_ = station.get("/v1/log?format=csv").decode().split("\r\n")
            self.assertEqual(dict(zip(header.split(","), row.split(",")))["code"], "2307")
            self.assertTrue(header.endswith(",link_hz,link_slowed_by,rework"))

    def test_count_holds(self):
        """The unit after the last is refused: also after delete and load, restart, and another image of the same object."""
        board = self.board()
        image = self.sap("--units", "2")
        data = self.init([board])
        station = self.station(data)
        self.admit(station)
        image_id = station.load(image)["id"]
        uids = set()
        for _ in range(2):
            end = station.run("Widget")[0]
            self.assertEqual(end["state"], "passed", end)
            uids.add(end["uid"])
            board.control("next")
        blank = board.dump(0, impstation.FLASH)

        def refused():
            end = station.run("Widget")[0]
            self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5001))
            self.assertEqual((end["counts"]["units"], end["counts"]["passed"]), (2, 2))
            self.assertIn("2", end["error"]["text"])
            self.assertEqual(board.dump(0, impstation.FLASH), blank)

        refused()
        station.delete(f"/v1/images/{image_id}")
        self.assertEqual(station.get("/v1/images")["images"], [])
        station.load(image)
        refused()
        station.stop()
        station = self.station(data)
        refused()
        self.assertEqual(len(station.records()), 2)
        again = station.load(self.sap("--units", "1", out="again.imp"))  # another sealing is another count, the pool goes on
        self.assertNotEqual(again["id"], image_id)
        self.assertEqual(station.run(again["id"])[0]["numbers"][0]["text"], "W-00003")
        station.stop()

    def test_two_images_one_pool(self):
        boards = [self.board(), self.board()]
        with self.station(self.init(boards)) as station:
            self.admit(station)
            first = station.load(self.sap(out="1.imp"))["id"]
            second = station.load(self.sap(name="Gadget", out="2.imp"))["id"]
            texts = []
            for _ in range(3):
                a, b = station.launch(first, ["1"]), station.launch(second, ["2"])
                texts += [x["numbers"][0]["text"] for x in station.wait(a) + station.wait(b)]
            self.assertEqual(sorted(texts), [f"W-{n:05}" for n in range(1, 7)])

    def test_numbers_of_its_own(self):
        """A SAP gives the numbers of its range and no other; another range is another pool."""
        boards = [self.board()]
        with self.station(self.init(boards)) as station:
            self.admit(station)
            rows = [("900-901", ["W-00900", "W-00901", None]), ("40-49", ["W-00040"]), ("900-901", [None])]
            for row, (numbers, expected) in enumerate(rows):
                image = station.load(self.sap(numbers=numbers, out=f"{row}.imp"))["id"]
                for text in expected:
                    end = station.run(image)[0]
                    if text is None:
                        self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5008))
                    else:
                        self.assertEqual([(n["pool"], n["text"]) for n in end["numbers"]], [(f"widget-serial.{numbers}", text)])
                        self.assertEqual(boards[0].dump(0, impstation.FLASH), self.expected(text))
                    boards[0].control("next")

    def test_keys_and_trust(self):
        board = self.board()
        with self.station(self.init([board])) as station:
            loaded = station.load(self.sap())
            self.assertEqual((loaded["usable"], loaded["reason"]["code"]), (False, 3016))
            with open(self.path("author.pub"), encoding="utf-8") as f:
                author = station.post("/v1/trust", {"name": "author", "public_key": f.read()})
            self.assertEqual(station.get(f"/v1/images/{loaded['id']}")["reason"]["code"], 3015)
            self.grant(station)
            self.assertTrue(station.get(f"/v1/images/{loaded['id']}")["usable"])
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
            granted = station.get("/v1/keys")["granted"]
            self.assertEqual([k["images"] for k in granted], [1])
            station.delete(f"/v1/keys/{granted[0]['id']}")
            for code, repair in ((3015, lambda: self.grant(station)), (3016, None)):
                with self.assertRaises(impstation.ApiError) as caught:
                    station.launch("Widget")
                self.assertEqual(caught.exception.code, code)
                if repair:
                    repair()
                    station.delete(f"/v1/trust/{author['id']}")
            self.assertEqual(station.get("/v1/trust")["authors"], [])

    def test_damaged_on_disk(self):
        """An image whose file changes under the station is refused before the target is touched; at a start it is set aside."""
        board = self.board()
        data = self.init([board])
        with self.station(data) as station:
            self.admit(station)
            loaded = station.load(self.sap())
            path = os.path.join(data, "images", "local", loaded["id"] + ".imp")
            with open(path, "r+b") as f:
                f.seek(-100, os.SEEK_END)
                byte = f.read(1)
                f.seek(-100, os.SEEK_END)
                f.write(bytes([byte[0] ^ 1]))
            with self.assertRaises(impstation.ApiError) as caught:
                station.launch("Widget")
            self.assertEqual(caught.exception.code, 3006)
        with self.station(data) as station:
            self.assertEqual(station.get("/v1/images")["images"], [])
            self.assertTrue(os.path.exists(path + ".damaged"))
        self.assertEqual(board.dump(0, impstation.FLASH), b"\xff" * impstation.FLASH)

    def test_job_without_cloud(self):
        """A JOB needs its cloud: a station that belongs to none refuses it when it is loaded."""
        ca = self.path("ca.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        self.path("ca.key"), "-out", ca, "-subj", "/CN=other", "-days", "1"], check=True, capture_output=True)
        self.imprint("seal", self.object(), "--kind", "job", "--author-key", self.path("author.key"), "--encrypt-to",
                     self.path("image.pub"), "--ca", ca, "--factory", "north", "-o", self.path("job.imp"))
        with self.station(self.init([self.board()])) as station:
            self.admit(station)
            with self.assertRaises(impstation.ApiError) as caught:
                station.load(self.path("job.imp"))
            self.assertEqual(caught.exception.code, 6008)

    def test_faults(self):
        """A lost bit, a wrong chip, no target: a failed unit with code, place and bytes, and the other port goes on."""
        bad, wrong, absent, good = self.board("--fault", "stuck-bit 0x100 3"), self.board("--fault", "wrong-chip"), self.board(), self.board()
        absent.control("remove")
        with self.station(self.init([bad, wrong, absent, good])) as station:
            self.admit(station)
            station.load(self.sap())
            ends = station.run("Widget")
            self.assertEqual([x["state"] for x in ends], ["failed", "failed", "failed", "passed"], ends)
            self.assertEqual([x["result"] for x in ends], ["spent", "failed", "failed", "passed"])
            detail = ends[0]["error"]["detail"]
            self.assertEqual((ends[0]["error"]["code"], detail["step"], detail["address"] // 16), (2107, "verify", 0x10))
            self.assertNotEqual(detail["expected"], detail["found"])
            for end, code in ((ends[1], 2101), (ends[2], 2010)):
                self.assertEqual((end["error"]["code"], end["error"]["detail"]["step"]), (code, "attach"), end)
            log = {r["port"]: r for r in station.records()}
            self.assertEqual([log[p]["result"] for p in "1234"], ["spent", "failed", "failed", "passed"])
            self.assertEqual(log["1"]["detail"], detail)
            self.assertEqual(wrong.dump(0, impstation.FLASH), b"\xff" * impstation.FLASH)
            # the numbers of the two that wrote nothing are given again, lowest first
            self.assertEqual(station.run("Widget", ["4"])[0]["numbers"][0]["text"], "W-00002")

    def test_busy_cancel_delete(self):
        board = self.board()
        with self.station(self.init([board])) as station:
            self.admit(station)
            loaded = station.load(self.sap())
            started = station.launch("Widget")
            for request, code in ((lambda: station.launch("Widget"), 6001), (lambda: station.launch("Widget", ["9"]), 6002), (lambda: station.delete(f"/v1/images/{loaded['id']}"), 6005)):
                with self.assertRaises(impstation.ApiError) as caught:
                    request()
                self.assertEqual(caught.exception.code, code)
            station.post(f"/v1/launches/{started['launches'][0]['launch']}/cancel")
            end = station.wait(started)[0]
            self.assertEqual((end["state"], end["error"]["code"]), ("failed", 1010))
            with self.assertRaises(impstation.ApiError) as caught:
                station.post(f"/v1/launches/{end['launch']}/cancel")
            self.assertEqual(caught.exception.code, 1007)
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
            station.delete(f"/v1/images/{loaded['id']}")

    def test_stop_waits_for_launches(self):
        data = self.init([self.board(), self.board()])
        station = self.station(data)
        self.admit(station)
        station.load(self.sap())
        started = station.launch("Widget")
        polls = []
        poll = threading.Thread(target=lambda: polls.append(station.get("/v1/events?after=1000000&wait_ms=60000")))
        poll.start()
        station.stop()
        poll.join(10)
        self.assertFalse(poll.is_alive())
        with self.station(data) as again:
            log = again.records()
            self.assertEqual([r["result"] for r in log], ["passed", "passed"])
            self.assertEqual({r["launch"] for r in log}, {x["launch"] for x in started["launches"]})

    def test_log_pages_and_filters(self):
        board = self.board()
        with self.station(self.init([board])) as station:
            self.admit(station)
            image = station.load(self.sap())["id"]
            for order in ("A", "B", "B"):
                self.assertEqual(station.run("Widget", order=order)[0]["state"], "passed")
            self.assertEqual(len(station.records()), 3)
            page = [json.loads(x) for x in station.get("/v1/log?limit=2").splitlines()]
            after = station.headers["Imprint-Next"]
            rest = [json.loads(x) for x in station.get(f"/v1/log?limit=2&after={after}").splitlines()]
            self.assertEqual([r["cursor"] for r in page + rest], [r["cursor"] for r in station.records()])
            self.assertEqual((len(page), len(rest)), (2, 1))
            self.assertEqual(len(station.records("&order=B")), 2)
            self.assertEqual(len(station.records("&port=2")), 0)
            self.assertEqual(len(station.records(f"&image={image}&result=passed")), 3)
            self.assertEqual(len(station.records("&result=failed")), 0)


class Crash(impstation.TestCase):
    """Kill -9 at named points: one record for each launch, passed only if it was journaled as verified."""

    # point: what the next start finds
    POINTS = {"access": "lost", "program": "unknown", "verified": "unknown", "report": "passed"}

    def test_kill(self):
        self.keys()
        image = self.sap("--units", "3")
        for point, result in self.POINTS.items():
            board = self.board()
            data = self.init([board], name=f"at-{point}")
            station = self.station(data, "--test-kill-at", point)
            self.admit(station)
            station.load(image)
            station.launch_and_die("Widget")
            with self.station(data) as again:
                log = again.records()
                self.assertEqual([r["result"] for r in log], [result], point)
                self.assertEqual(log[0]["code"], {"lost": 5024, "unknown": 5025, "passed": 0}[result], point)
                self.assertEqual([x["text"] for x in log[0]["numbers"]], ["W-00001"])
                counts = again.get("/v1/images")["images"][0]["counts"]
                self.assertEqual(counts["open"], 0)
                self.assertEqual((counts["passed"], counts["unknown"]), (int(result == "passed"), int(result == "unknown")), point)
                # its number is spent: it is not given again
                end = again.run("Widget")[0]
                self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", "W-00002"), point)
                self.assertEqual(board.dump(0, impstation.FLASH), self.expected("W-00002"))

    def test_disk_full(self):
        """What cannot be journaled is not begun, and never shown as passed; with room on the disk it goes on."""
        self.keys()
        self.app += bytes(i * 11 & 255 for i in range(0x7000 - len(self.app)))
        self.write("app.hex", impstation.intel_hex(self.app))
        board = self.board()
        data = self.init([board])
        with self.station(data) as station:
            self.admit(station)
            station.load(self.sap("--units", "3"))
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
            board.control("next")
            packets = board.status()["packets"]
            station.disk_full(True)
            end = station.run("Widget")[0]
            self.assertEqual((end["state"], end["error"]["code"]), ("refused", 1002), end)
            self.assertEqual(board.status()["packets"], packets)
            station.disk_full(False)
            started = station.launch("Widget")
            self.wait_for(station, lambda: station.get(f"/v1/launches/{started['launches'][0]['launch']}")["phase"],
                          lambda phase: phase in ("erase", "program", "verify"))
            station.disk_full(True)
            end = station.wait(started)[0]
            self.assertEqual((end["state"], end["error"]["code"]), ("failed", 1002), end)
            self.assertIn("could not be recorded", end["error"]["text"])
            self.assertEqual(board.dump(0, 0x7000), self.app)  # it was all there but the record
            self.assertEqual([r["result"] for r in station.records()], ["passed"])
            station.disk_full(False)
        with self.station(data) as station:
            self.assertEqual([r["result"] for r in station.records()], ["passed", "unknown"])
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
            self.assertEqual(station.run("Widget")[0]["error"]["code"], 5001)  # the unknown one counts as used

    def test_folder_put_back(self):
        """The whole disk put back: a SAP's count goes back with it (only a TPM could show it); nothing is damaged by it."""
        self.keys()
        image = self.sap("--units", "2")
        board = self.board()
        data = self.init([board])
        with self.station(data) as station:
            self.admit(station)
            station.load(image)
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
        shutil.copytree(data, self.path("copy"))
        with self.station(data) as station:
            self.assertEqual(station.run("Widget")[0]["state"], "passed")
            self.assertEqual(station.run("Widget")[0]["error"]["code"], 5001)
        shutil.rmtree(data)
        shutil.copytree(self.path("copy"), data)
        with self.station(data) as station:
            self.assertEqual([r["result"] for r in station.records()], ["passed"])
            self.assertEqual(station.run("Widget")[0]["state"], "passed")


if __name__ == "__main__":
    imptest.main()
