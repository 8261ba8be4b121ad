#!/usr/bin/env python3
"""Stations, boards and a real cloud: enrolment, delivery, JOBs, pause, a cloud that is away, kill -9, a disk put back."""
import os
import random
import re
import shutil
import socket
import threading

import impstation
import imptest


class StationCloudTest(impstation.CloudTestCase):
    def ready_station(self, boards, name="station"):
        data = self.init(boards, name=name)
        with open(os.path.join(data, "station.yaml"), "a", encoding="utf-8") as f:
            f.write("cloud-poll: 200 ms\n")
        station = self.station(data)
        self.admit(station)
        self.enrol(station)
        self.wait_cloud(station)
        return data, station


class Job(StationCloudTest):
    def test_delivery_and_count(self):
        """Delivered by the cloud, launched on four boards, then on four new chips: six pass, two are refused, untouched."""
        boards = [self.board("--seed", str(n)) for n in range(4)]
        _, station = self.ready_station(boards)
        image = self.job("--units", "6")
        self.upload()
        delivered = self.wait_image(station, image)
        self.assertEqual((delivered["kind"], delivered["source"], delivered["factory"]), ("job", "cloud", "north"))
        ends = station.run(image, order="A-17")
        self.assertEqual([x["state"] for x in ends], ["passed"] * 4, ends)
        for board, end in zip(boards, ends):
            self.assertEqual(board.dump(0, impstation.FLASH), self.expected(end["numbers"][0]["text"]))
            board.control("next")
        blank = [board.dump(0, impstation.FLASH) for board in boards]
        again = station.run(image)
        self.assertEqual(sorted(x["state"] for x in again), ["passed", "passed", "refused", "refused"], again)
        for board, before, end in zip(boards, blank, again):
            if end["state"] == "refused":
                self.assertEqual(end["error"]["code"], 5002)
                self.assertEqual((end["counts"]["units"], end["counts"]["passed"], end["counts"]["open"]), (6, 4, 2))
                self.assertEqual(board.dump(0, impstation.FLASH), before)
        self.wait_cloud(station, reports=0)
        log = self.cloud_log()
        self.assertEqual([r["report"]["result"] for r in log], ["passed"] * 6)
        self.assertEqual(sorted(r["report"]["numbers"][0]["text"] for r in log), [f"W-{n:05}" for n in range(1, 7)])
        self.assertEqual(len({r["report"]["uid"] for r in log}), 6)
        local = station.records()
        self.assertEqual({r["launch"] for r in local}, {r["report"]["launch"] for r in log})
        self.assertTrue(all(r["confirmed"] and r["kind"] == "job" for r in local))
        self.assertEqual({x["error"]["code"] for x in station.run(image)}, {5001})
        station.stop()
        self.check_cloud()

    def test_rework(self):
        """A chip that passed gets its number again, another chip at another station the next one; refused, it is not touched."""
        kept, refused = "keep-values", "refuse"
        for rule in (kept, refused):
            recipe = impstation.RECIPE.format(name=rule, pool=f"pool-{rule}") + f"rework: {rule}\n"
            self.imprint("build", self.write(f"{rule}.yaml", recipe), "-o", self.path(f"{rule}.impo"))
        images = {}
        for rule in (kept, refused):
            self.imprint("seal", self.path(f"{rule}.impo"), "--kind", "job", "--author-key", self.path("author.key"), "--encrypt-to",
                         self.path("image.pub"), "--factory", "north", "-o", self.path(f"{rule}.imp"))
            images[rule] = self.imprint("cloud", "image", "register", self.path(f"{rule}.statement"))["image"]
        board, other = self.board("--seed", "5"), self.board("--seed", "6")
        _, first = self.ready_station([board], name="first")
        _, second = self.ready_station([other], name="second")
        for station in (first, second):
            for rule in images:
                station.load(self.path(f"{rule}.imp"))
        end = first.run(images[kept])[0]
        self.assertEqual((end["state"], end["numbers"][0]["text"], "kept" in end), ("passed", "W-00001", False), end)
        end = first.run(images[kept])[0]
        self.assertEqual((end["state"], end["numbers"][0]["text"], end["kept"]), ("passed", "W-00001", True), end)
        self.assertEqual(board.dump(0, impstation.FLASH), self.expected("W-00001"))
        end = second.run(images[kept])[0]
        self.assertEqual((end["state"], end["numbers"][0]["text"], "kept" in end), ("passed", "W-00002", False), end)
        self.assertEqual(first.run(images[refused])[0]["state"], "passed")
        words = board.status()["words_programmed"]
        end = first.run(images[refused])[0]
        self.assertEqual((end["state"], end["error"]["code"]), ("failed", 5022), end)
        self.assertEqual(board.status()["words_programmed"], words)
        for station in (first, second):
            self.wait_cloud(station, reports=0)
        self.assertEqual(sorted((r["report"]["numbers"][0]["text"], r.get("rework", False)) for r in self.cloud_log()
                                if r["report"]["image"] == images[kept]),
                         [("W-00001", False), ("W-00001", True), ("W-00002", False)])
        for station in (first, second):
            station.stop()
        self.check_cloud()

    def test_long_list(self):
        """A list of numbers reaches the cloud with the statement, however long it may be, and is given in its order."""
        codes = [f"{n * 7919 % 99991:05}-{n:05}" for n in range(16384)]
        self.write("codes.txt", "\n".join(codes) + "\n")
        recipe = impstation.RECIPE.format(name="Coded", pool="codes").replace('text: "W-{n:05}"', "list: codes.txt")
        self.imprint("build", self.write("coded.yaml", recipe), "-o", self.path("coded.impo"))
        self.imprint("seal", self.path("coded.impo"), "--kind", "job", "--author-key", self.path("author.key"), "--encrypt-to",
                     self.path("image.pub"), "--factory", "north", "-o", self.path("coded.imp"))
        image = self.imprint("cloud", "image", "register", self.path("coded.statement"))["image"]
        _, station = self.ready_station([self.board("--seed", "5")])
        station.load(self.path("coded.imp"))
        end = station.run(image)[0]
        self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", codes[0]), end)
        pool = self.imprint("pool", "show", "codes")
        self.assertEqual((pool["next"], pool["next_text"], pool["remaining"]), (1, codes[1], 16383))
        self.assertIn('"entries":16384', pool["definition"])
        station.stop()
        self.check_cloud()

    def test_two_stations_two_images_one_pool(self):
        """Two images share a pool of the account; two stations launch them at the same time: no number twice, none left out."""
        stations = []
        for n, name in enumerate(("Widget", "Gadget")):
            image = self.job(name=name, out=f"{name}.imp")
            _, station = self.ready_station([self.board("--seed", f"{n}1"), self.board("--seed", f"{n}2")], name=f"station-{name}")
            station.load(self.path(f"{name}.imp"))
            stations.append((station, image))
        texts = []
        for _ in range(4):
            started = [(station, station.launch(image)) for station, image in stations]
            for station, some in started:
                for end in station.wait(some):
                    self.assertEqual(end["state"], "passed", end)
                    texts.append(end["numbers"][0]["text"])
        self.assertEqual(sorted(texts), [f"W-{n:05}" for n in range(1, 17)])
        for station, _ in stations:
            self.wait_cloud(station, reports=0)
        self.assertEqual(sorted(r["report"]["numbers"][0]["text"] for r in self.cloud_log()), sorted(texts))
        for station, _ in stations:
            station.stop()
        self.check_cloud()

    def test_pause_and_withdraw(self):
        board = self.board()
        _, station = self.ready_station([board])
        image = self.job("--units", "6")
        self.upload()
        self.wait_image(station, image)
        self.imprint("cloud", "image", "pause", image)
        end = station.run(image)[0]
        self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5003))
        self.assertEqual(board.dump(0, impstation.FLASH), b"\xff" * impstation.FLASH)
        self.imprint("cloud", "image", "resume", image)
        self.assertEqual(station.run(image)[0]["state"], "passed")
        self.imprint("cloud", "image", "disable", image, "--yes")
        self.wait_for(station, lambda: station.get("/v1/images")["images"], lambda images: not images)
        with self.assertRaises(impstation.ApiError) as caught:
            station.launch(image)
        self.assertEqual(caught.exception.code, 1009)
        # loaded by hand, the cloud still decides: it hands out no share, and where none is needed, no permit
        station.load(self.path("job.imp"))
        with self.assertRaises(impstation.ApiError) as caught:
            station.launch(image)
        self.assertEqual(caught.exception.code, 3110)
        plain = self.job("--units", "6", "--release-by", "key", out="plain.imp")
        self.imprint("cloud", "image", "disable", plain, "--yes")
        station.load(self.path("plain.imp"))
        end = station.run(plain)[0]
        self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5004))
        station.stop()
        self.check_cloud()

    def test_cloud_away(self):
        """A JOB does not start, a SAP does; what had begun ends and is reported when the cloud is back."""
        boards = [self.board("--seed", "1"), self.board("--seed", "2")]
        data, station = self.ready_station(boards)
        image = self.job()
        station.load(self.path("job.imp"))
        sap = station.load(self.sap(name="Alone", pool="alone"))["id"]
        started = station.launch(image, ["1"])
        self.wait_for(station, lambda: station.get(f"/v1/launches/{started['launches'][0]['launch']}")["state"], lambda s: s != "asking")
        self.cloud.stop()
        self.assertEqual(station.wait(started)[0]["state"], "passed")
        end = station.run(image, ["2"])[0]
        self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5018))
        self.assertEqual(boards[1].dump(0, impstation.FLASH), b"\xff" * impstation.FLASH)
        self.assertEqual(station.run(sap, ["2"])[0]["state"], "passed")
        self.assertGreaterEqual(station.get("/v1/cloud")["reports_waiting"], 1)
        station.stop()
        station = self.station(data)  # restarted while the cloud is away
        self.assertGreaterEqual(station.get("/v1/cloud")["reports_waiting"], 1)
        self.assertEqual(station.run(sap, ["2"])[0]["state"], "passed")
        self.start_cloud()
        self.wait_cloud(station, reports=0)
        self.assertEqual([r["report"]["result"] for r in self.cloud_log() if r["report"]["result"] != "returned"], ["passed"])
        self.assertEqual(station.run(image, ["2"])[0]["state"], "passed")
        self.wait_cloud(station, reports=0)
        self.assertEqual(self.cloud_image(image)["counts"]["open"], 0)
        station.stop()
        self.check_cloud()

    def test_kill_station(self):
        """Kill -9 at five points: one record for each launch, never passed without verify, counts and numbers by the rules."""
        rows = [("permit", "lost"), ("access", "lost"), ("program", "unknown"), ("verified", "unknown"), ("report", "passed")]
        board = self.board()
        data, station = self.ready_station([board])
        station.stop()
        image = self.job("--units", "20")
        seen = []
        for point, result in rows:
            station = self.station(data, "--test-kill-at", point)
            if not seen:
                station.load(self.path("job.imp"))
            self.wait_cloud(station)
            station.launch_and_die(image)
            seen.append(result)
            with self.station(data) as again:
                self.wait_cloud(again, reports=0)
                self.wait_for(again, lambda: self.cloud_image(image)["counts"]["open"], lambda n: n == 0)
                self.assertEqual([r["report"]["result"] for r in self.cloud_log()], seen, point)
                # the number of a launch that did not end in this life is never given again
                end = again.run(image)[0]
                self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", f"W-{len(seen) + 1:05}"), point)
                seen.append("passed")
                self.wait_cloud(again, reports=0)
        counts = self.cloud_image(image)["counts"]
        self.assertEqual((counts["passed"], counts["unknown"], counts["lost"], counts["open"]), (6, 2, 2, 0))
        self.check_cloud()

    def test_kill_cloud(self):
        """Kill -9 of the cloud around its commits: one grant, one record, and the station goes on by itself."""
        board = self.board()
        data, station = self.ready_station([board])
        image = self.job("--units", "20")
        station.load(self.path("job.imp"))
        passed = 0
        for point in ("before-commit", "after-commit", "before-answer"):
            for nth in (1, 2, 3):
                self.cloud.stop()
                self.start_cloud("--test-kill-at", f"{point}:{nth}")
                ends = []
                while self.cloud.child.poll() is None and len(ends) < 5:  # it dies while it takes a want or a report
                    started = station.launch(image)
                    self.wait_for(station, lambda: self.cloud.child.poll() is not None or
                                  station.get(f"/v1/launches/{started['launches'][0]['launch']}")["state"] not in ("asking", "working"),
                                  bool)
                    if self.cloud.child.poll() is not None:
                        self.start_cloud()
                        ends += station.wait(started)
                        break
                    ends += station.wait(started)
                else:
                    if self.cloud.child.poll() is None:
                        self.fail(f"the cloud does not get to {point}:{nth}")
                    self.start_cloud()
                for end in ends:
                    passed += end["state"] == "passed"
                    if end["state"] != "passed":
                        self.assertEqual(end["error"]["code"], 5018, end)
                self.wait_cloud(station, reports=0)
        self.assertGreater(passed, 0)
        self.wait_for(station, lambda: self.cloud_image(image)["counts"]["open"], lambda n: n == 0)
        log = [r["report"] for r in self.cloud_log()]
        self.assertEqual(len({r["launch"] for r in log}), len(log))
        self.assertEqual(sum(r["result"] == "passed" for r in log), passed)
        numbers = [r["numbers"][0]["text"] for r in log if r["result"] == "passed"]
        self.assertEqual(len(set(numbers)), passed)
        self.assertEqual([r["result"] for r in station.records() if r["result"] == "passed"], ["passed"] * passed)
        station.stop()
        self.check_cloud()

    def test_disk_put_back(self):
        """Put back to each earlier point: no number twice; blocked once a recorded launch is missing; admitted by the owner."""
        board = self.board()
        data, station = self.ready_station([board])
        image = self.job("--units", "20")
        station.load(self.path("job.imp"))
        self.wait_cloud(station)
        station.stop()
        shutil.copytree(data, self.path("copy0"), ignore=shutil.ignore_patterns("*.sock"))
        for n in (1, 2):
            with self.station(data) as station:
                self.wait_cloud(station)
                self.assertEqual(station.run(image)[0]["state"], "passed")
                self.wait_cloud(station, reports=0)
            shutil.copytree(data, self.path(f"copy{n}"), ignore=shutil.ignore_patterns("*.sock"))
        for n in (0, 1):
            shutil.rmtree(data)
            shutil.copytree(self.path(f"copy{n}"), data)
            with self.station(data) as station:
                # the start number goes back with the disk: stale, or, when it has caught up, blocked
                cloud = self.wait_for(station, lambda: station.get("/v1/cloud"), lambda c: c["state"] in ("blocked", "stale"))
                end = station.run(image)[0]
                self.assertEqual((end["state"], end["error"]["code"]), ("refused", 5013 if cloud["state"] == "blocked" else 5023))
        # started again and again, its start number passes the one that the cloud knows: then the journal shows it
        for _ in range(5):
            with self.station(data) as station:
                cloud = self.wait_for(station, lambda: station.get("/v1/cloud"), lambda c: c["state"] in ("blocked", "stale"))
                if cloud["state"] == "blocked":
                    break
        self.assertEqual(cloud["state"], "blocked")
        self.imprint("cloud", "station", "admit", "station", "--reason", "the disk was replaced by a copy")
        with self.station(data) as station:
            self.wait_cloud(station)
            end = station.run(image)[0]
            self.assertEqual((end["state"], end["numbers"][0]["text"]), ("passed", "W-00003"))
            self.wait_cloud(station, reports=0)
        self.assertEqual(len({r["report"]["numbers"][0]["text"] for r in self.cloud_log()}), 3)
        self.check_cloud()

    def test_removed_station(self):
        board = self.board()
        _, station = self.ready_station([board])
        image = self.job()
        station.load(self.path("job.imp"))
        self.assertEqual(station.run(image)[0]["state"], "passed")
        self.wait_cloud(station, reports=0)
        self.imprint("cloud", "station", "remove", "station", "--reason", "sold")
        end = station.run(image)[0]
        self.assertEqual(end["state"], "refused", end)
        self.assertIn(end["error"]["code"], (5010, 5013, 5018), end)
        station.stop()
        self.check_cloud()

    def test_enrolment(self):
        board = self.board()
        data, station = self.ready_station([board])
        with self.assertRaises(impstation.ApiError) as caught:
            self.enrol(station)
        self.assertEqual(caught.exception.code, 6007)
        # another station with a code of which one digit of the CA's digest differs: nothing is sent
        other = self.station(self.init([self.board()], name="other"))
        self.imprint("cloud", "station", "enrol-code", "--factory", "north", "--group", "line", "-o", self.path("code2"))
        with open(self.path("code2"), encoding="utf-8") as f:
            code = f.read().strip()
        parts = code.split(".")
        ca = parts[2]
        parts[2] = ("0" if ca[0] != "0" else "1") + ca[1:]
        with self.assertRaises(impstation.ApiError) as caught:
            other.post("/v1/enrol", {"code": ".".join(parts)})
        self.assertEqual(caught.exception.code, 7121)
        other.post("/v1/enrol", {"code": code})
        self.wait_cloud(other)
        third = self.station(self.init([self.board()], name="third"))
        with self.assertRaises(impstation.ApiError) as caught:
            third.post("/v1/enrol", {"code": code})
        self.assertEqual(caught.exception.code, 7003)
        self.assertEqual(third.get("/v1/cloud")["state"], "none")


class Line:
    """A line between stations and cloud, byte by byte: while it is bad, connections are cut before or within an answer, and what
    travels comes late, also after the one who sent it has gone."""

    def __init__(self, address, to, seed):
        self.to = to
        self.bad = False
        self.random = random.Random(seed)
        self.end = threading.Event()
        self.cut = self.late = 0
        self.listener = socket.create_server(address)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.end.set()
        self.listener.close()

    def accept(self):
        while not self.end.is_set():
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.to)
            except OSError:
                continue
            for one, other, answers in ((near, far, False), (far, near, True)):
                threading.Thread(target=self.carry, args=(one, other, answers), daemon=True).start()

    def carry(self, one, other, answers):
        try:
            pieces = 0
            while data := one.recv(65536):
                pieces += 1
                fault = self.random.random() if self.bad and pieces >= 3 else 1  # the first ones are TLS's own
                if fault < 0.2:
                    self.cut += 1
                    break
                if fault < 0.35:
                    self.late += 1
                    self.end.wait(self.random.uniform(0.5, 5.5))
                other.sendall(data)
        except OSError:
            pass
        for s in (one, other) if answers else (other,):
            try:
                s.shutdown(socket.SHUT_RDWR if answers else socket.SHUT_WR)
            except OSError:
                pass


class BadLine(StationCloudTest):
    def setUp(self):
        super().setUp()
        self.cloud.stop()
        host, port = self.url.removeprefix("https://").split(":")
        real = impstation.free_port()
        config = os.path.join(self.cloud_folder, "cloud.yaml")
        with open(config, encoding="utf-8") as f:
            text = f.read()
        with open(config, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?m)^listen:.*$", f"listen: \"127.0.0.1:{real}\"", text))
        self.start_cloud()
        seed = int(os.environ.get("IMPRINT_SEED", random.randrange(1 << 30)))
        print(f"# IMPRINT_SEED={seed}", flush=True)
        self.line = Line((host, int(port)), ("127.0.0.1", real), seed)
        self.addCleanup(self.line.close)

    def test_lost_late_repeated(self):
        """Every launch is decided, and in the end station and cloud say the same: one record each, no number twice, nothing open."""
        boards = [self.board("--seed", "1"), self.board("--seed", "2")]
        _, station = self.ready_station(boards)
        image = self.job("--units", "14")
        station.load(self.path("job.imp"))
        passed = station.run(image, ["1"])  # with a good line: from now on the station has the cloud's share of the image
        self.assertEqual(passed[0]["state"], "passed", passed)
        self.line.bad = True
        for _ in range(8):
            for end in station.run(image):
                if end["state"] == "passed":
                    passed.append(end)
                else:
                    self.assertIn(end["error"]["code"], (5001, 5002, 5018, 5019), end)
        self.line.bad = False
        self.assertGreater(self.line.cut, 0)
        self.assertGreater(self.line.late, 0)
        self.assertGreater(len(passed), 0)
        self.wait_for(station, lambda: station.get("/v1/cloud").get("reports_waiting"), lambda n: n == 0, seconds=60)
        self.wait_for(station, lambda: self.cloud_image(image)["counts"]["open"], lambda n: n == 0, seconds=60)
        log = self.cloud_log()
        self.assertEqual({r["report"]["launch"] for r in log if r["report"]["result"] == "passed"}, {e["launch"] for e in passed})
        self.assertEqual(len({r["report"]["launch"] for r in log}), len(log))
        self.assertFalse([r for r in log if r["conflict"]])
        self.assertEqual({r["report"]["result"] for r in log} - {"returned", "lost"}, {"passed"})
        self.assertEqual(len({e["numbers"][0]["text"] for e in passed}), len(passed))
        self.assertEqual(self.cloud_image(image)["counts"]["passed"], len(passed))
        self.assertEqual(station.run(image, ["1"])[0]["state"], "passed" if len(passed) < 14 else "refused")
        self.wait_cloud(station, reports=0)
        station.stop()
        self.check_cloud()


if __name__ == "__main__":
    imptest.main()
