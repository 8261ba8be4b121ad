#!/usr/bin/env python3
"""What comes with a launch, and launches that only compare, through a station: stand-alone images, and the cloud's."""
import hashlib
import os

import impstation

RECIPE = """\
imprint: 1
name: {name}
device: nRF51822
connection: {{swd: 4 MHz}}
data: {{app: {{file: app.hex}}}}
values:
  serial: {{pool: {pool}, text: "W-{{n:05}}"}}
  label: {{barcode: "W[0-9]+"}}
  cal: {{given: {{size: 1 to 256}}}}
  key: {{given: {{size: 4}}, redact: true}}
  uid: {{read: uid}}
place:
  - {{value: serial, at: 0x00008000, size: 12, pad: 0x00}}
  - {{value: cal, at: 0x00008100}}
  - {{value: key, at: 0x00008200, when: after}}
  - {{value: label, at: 0x00001000, size: 8, pad: 0x20, over: app}}
"""

EVERYTHING = bytes(range(256))
GIVEN = {"set": {"cal": {"hex": EVERYTHING.hex()}, "key": {"text": "k3y!"}}, "barcode": {"text": "W42"}}


class Given(impstation.CloudTestCase):
    def object(self, name="Widget", pool="widget-serial"):
        recipe = self.write(f"{name}.yaml", RECIPE.format(name=name, pool=pool))
        self.imprint("build", recipe, "-o", self.path(f"{name}.impo"))
        return self.path(f"{name}.impo")

    def expected(self, serial):
        memory = bytearray(super().expected(serial))
        memory[0x8100:0x8200] = EVERYTHING
        memory[0x8200:0x8204] = b"k3y!"
        memory[0x1000:0x1008] = b"W42     "
        return bytes(memory)

    def check_record(self, record):
        reads = {r["name"]: r.get("bytes", "") for r in record["reads"]}
        self.assertEqual(reads, {"label": b"W42".hex(), "cal.sha256": hashlib.sha256(EVERYTHING).hexdigest(), "key": "",
                                 "uid": record["uid"]})

    def folder_holds(self, folder, secret):
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        if secret in f.read():
                            return True
        return False

    def test_sap(self):
        boards = [self.board("--seed", "1"), self.board("--seed", "2")]
        image = self.sap("--units", "1")
        data = self.init(boards)
        with self.station(data) as station:
            self.admit(station)
            station.load(image)
            rows = [  # what is wrong, and its code: told at once, nothing has begun
                ({}, 2208), ({**GIVEN, "barcode": {"text": "X1"}}, 2207), ({**GIVEN, "set": {"cal": {"text": "1"}}}, 2208),
                ({**GIVEN, "set": {**GIVEN["set"], "key": {"text": "123"}}}, 2206),
                ({**GIVEN, "set": {**GIVEN["set"], "kay": {"text": "1234"}}}, 2205),
                ({**GIVEN, "set": {**GIVEN["set"], "key": {"hex": "123"}}}, 7108),
                ({**GIVEN, "set": {**GIVEN["set"], "key": {"hex": "00" * 4097}}}, 7108),
                ({**GIVEN, "set": {**GIVEN["set"], "key": {"text": "1234", "hex": "31323334"}}}, 7108),
                ({**GIVEN, "set": [1]}, 7108), ({**GIVEN, "barcode": "W42"}, 7108), ({**GIVEN, "verify_only": 1}, 7108),
            ]
            for more, code in rows:
                with self.assertRaises(impstation.ApiError, msg=str(more)[:80]) as caught:
                    station.launch("Widget", ["1"], **more)
                self.assertEqual(caught.exception.code, code, f"{str(more)[:80]}: {caught.exception}")
            with self.assertRaises(impstation.ApiError) as caught:
                station.launch("Widget", "all", **GIVEN)  # one label, two units
            self.assertEqual(caught.exception.code, 2207)
            self.assertEqual([station.records(), boards[0].status()["packets"]], [[], 0])

            end = station.run("Widget", ["1"], **GIVEN)[0]
            self.assertEqual((end["state"], end["result"]), ("passed", "passed"), end)
            self.assertEqual(boards[0].dump(0, impstation.FLASH), self.expected("W-00001"))
            self.check_record(station.records()[0])
            self.assertIn("key=(redacted)", station.get("/v1/log?format=csv").decode())
            self.assertFalse(self.folder_holds(data, b"k3y!"))
            self.assertNotIn("k3y!", station.errors())

            # The count is used up, and units can still be compared; both ports at once, one of them blank.
            words = [board.status()["words_programmed"] for board in boards]
            self.assertEqual(station.run("Widget", ["2"], **GIVEN)[0]["error"]["code"], 5001)
            ends = [station.run("Widget", [port], verify_only=True)[0] for port in "12"]
            self.assertEqual([(e["state"], e["result"], e["verify_only"]) for e in ends],
                             [("passed", "verified", True), ("failed", "unverified", True)], ends)
            self.assertEqual(ends[1]["error"]["code"], 2107)
            reads = {r["name"]: r.get("bytes", "") for r in ends[0]["reads"]}
            self.assertEqual((reads["serial"], reads["key"]), (b"W-00001".ljust(12, b"\0").hex(), ""))
            self.assertEqual([r["result"] for r in station.records()], ["passed", "verified", "unverified"])
            self.assertEqual([r.get("rework", False) for r in station.records("&result=verified")], [False])
            self.assertEqual([board.status()["words_programmed"] for board in boards], words)
            counts = station.get("/v1/images")["images"][0]["counts"]
            self.assertEqual((counts["passed"], counts["open"], counts["failures"]), (1, 0, 0))
            sums = station.get("/v1/statistics")["ports"]
            self.assertEqual([(s["launches"], s["passed"]) for s in sums], [(1, 1), (0, 0)])

    def test_job(self):
        """The record of a comparison reaches the cloud, which neither counts nor misses anything."""
        board = self.board()
        data = self.init([board])
        with open(os.path.join(data, "station.yaml"), "a", encoding="utf-8") as f:
            f.write("cloud-poll: 200 ms\n")
        with self.station(data) as station:
            self.admit(station)
            self.enrol(station)
            self.wait_cloud(station)
            image = self.job("--units", "3")
            self.upload()
            self.wait_image(station, image)
            end = station.run(image, ["1"], **GIVEN)[0]
            self.assertEqual(end["state"], "passed", end)
            for more in ({}, GIVEN):
                end = station.run(image, ["1"], verify_only=True, **more)[0]
                self.assertEqual(end["result"], "verified", end)
            self.wait_cloud(station, reports=0)
        log = [r["report"] for r in self.cloud_log()]
        self.assertEqual(sorted(r["result"] for r in log), ["passed", "verified", "verified"])
        self.check_record(next(r for r in log if r["result"] == "passed"))
        counted = self.cloud_image(image)
        self.assertEqual((counted["counts"]["passed"], counted["counts"]["open"]), (1, 0), counted)
        self.check_cloud()


if __name__ == "__main__":
    impstation.imptest.main()
