#!/usr/bin/env python3
"""Sixteen boards from one process: one stuck, one slow, one unplugged in the middle, one that answers WAIT for ever. The order of
events shows that none of them holds another up: the others end while the stuck one is still at work, each launch's events come in
order, and there is one result for each and one summary. No clock is asked."""
import re
import signal
import subprocess
import threading

import impstation
import imptest

BOARDS = 16
STUCK, SLOW, UNPLUGGED, WAITING = 3, 7, 11, 14
LATE_US = 4900000  # each answer; just before the engine would give the probe up
SLOW_US = 30000
PHASES = ["attach", "read", "erase", "program", "verify", "reset"]
ENDED = ("passed", "failed", "refused")


class Gang(impstation.TestCase):
    def setUp(self):
        super().setUp()
        self.boards = [self.board("--seed", str(i + 1)) for i in range(BOARDS)]
        self.boards[STUCK].control(f"fault late for={LATE_US} count=0")
        for slow in (SLOW, UNPLUGGED):
            self.boards[slow].control(f"fault late for={SLOW_US} count=0")
        self.boards[WAITING].control("fault wait count=0")

    def check_memory(self, numbers):
        """numbers: the serial number of each board that passed."""
        self.assertEqual(len(set(numbers.values())), len(numbers), numbers)
        for i, serial in numbers.items():
            self.assertEqual(self.boards[i].dump(0, impstation.FLASH), self.expected(serial), i)

    def check_order(self, events):
        """What one launch told: phases and bytes only go on, and nothing comes after its end."""
        last = (-1, -1)
        for n, launch in enumerate(events):
            if launch["state"] in ENDED:
                self.assertEqual(n, len(events) - 1, events)
            elif launch["state"] == "working":
                here = (PHASES.index(launch["phase"]), launch.get("done_bytes", 0))
                self.assertGreaterEqual(here, last, events)
                last = here

    def test_a_station(self):
        self.keys()
        with self.station(self.init(self.boards)) as station:
            self.admit(station)
            station.load(self.sap())
            started = station.launch("Widget")
            ports = {launch["launch"]: int(launch["port"]) - 1 for launch in started["launches"]}
            self.assertEqual(sorted(ports.values()), list(range(BOARDS)))
            stuck = next(launch for launch, port in ports.items() if port == STUCK)
            told, ends, after, pulled = {launch: [] for launch in ports}, [], started["event"], False
            cancelled = False
            while len(ends) < BOARDS:
                page = station.get(f"/v1/events?after={after}&wait_ms=30000")
                self.assertTrue(page["events"] and not page["lost"], page)
                after = page["next"]
                for launch in (event["launch"] for event in page["events"] if event.get("launch", {}).get("launch") in ports):
                    port = ports[launch["launch"]]
                    told[launch["launch"]].append(launch)
                    if launch["state"] in ENDED:
                        ends.append(port)
                    elif port == UNPLUGGED and not pulled and launch["phase"] in PHASES[2:]:
                        self.boards[UNPLUGGED].control("fault unplug")
                        pulled = True
                if len(ends) == BOARDS - 1 and STUCK not in ends and not cancelled:
                    self.assertEqual(told[stuck][-1]["state"], "working")
                    cancelled = True
                    station.post(f"/v1/launches/{stuck}/cancel")
                    self.boards[STUCK].control("fault none")
            self.assertTrue(pulled)
            self.assertEqual(ends[-1], STUCK, ends)  # all others had ended while it was at work
            results = {ports[launch]: events[-1] for launch, events in told.items()}
            codes = {port: end["error"]["code"] for port, end in results.items() if end["state"] != "passed"}
            self.assertEqual(codes, {STUCK: 1010, UNPLUGGED: 2004, WAITING: 2011})
            for events in told.values():
                self.check_order(events)
            self.check_memory({port: end["numbers"][0]["text"] for port, end in results.items() if end["state"] == "passed"})
            records = station.records()
            self.assertEqual(sorted(int(r["port"]) - 1 for r in records), list(range(BOARDS)))  # one each

    def test_imprint_run(self):
        recipe = self.write("run.yaml", impstation.RECIPE.format(name="Widget", pool="widget-serial"))
        args = [a for board in self.boards for a in ("--probe", f"tcp:{board.dap}")]
        child = subprocess.Popen([imptest.program("imprint"), "run", recipe, *args], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, env=self.env)
        self.addCleanup(child.kill)
        guard = threading.Timer(200, child.kill)
        guard.start()
        self.addCleanup(guard.cancel)
        where = {board.dap: i for i, board in enumerate(self.boards)}
        ends, phases, lines, pulled, summary = [], {}, [], False, []
        for line in child.stdout:
            lines.append(line)
            match = re.match(r"port (\S+) +(\S+)", line)
            if "summary" in lines[-1]:
                summary = list(child.stdout)
                break
            if not match or match.group(1) not in where:
                continue
            port, word = where[match.group(1)], match.group(2)
            if word in ("PASSED", "FAILED"):
                ends.append((port, word))
            elif word in PHASES:
                phases.setdefault(port, []).append(PHASES.index(word))
                if port == UNPLUGGED and not pulled and word in PHASES[2:]:
                    self.boards[UNPLUGGED].control("fault unplug")
                    pulled = True
            if len(ends) == BOARDS - 1 and word in ("PASSED", "FAILED"):
                child.send_signal(signal.SIGINT)
                self.boards[STUCK].control("fault none")
        out = "".join(lines + summary)
        self.assertEqual(child.wait(60), 2, out)
        self.assertEqual(ends[-1], (STUCK, "FAILED"), out)
        self.assertEqual(sorted(port for port, _ in ends), list(range(BOARDS)), out)
        failed = sorted(port for port, word in ends if word == "FAILED")
        self.assertEqual(failed, [STUCK, UNPLUGGED, WAITING], out)
        for told in phases.values():
            self.assertEqual(told, sorted(told), out)
        self.assertEqual(len(summary), BOARDS + 1, out)
        self.assertEqual(summary[-1].strip(), f"{BOARDS - 3} of {BOARDS} passed")
        numbers = {}
        for i, line in enumerate(summary[:-1]):
            if serial := re.search(r"W-\d{5}", line):
                numbers[i] = serial.group(0)
        self.assertEqual(len(numbers), BOARDS - 3, out)
        self.check_memory(numbers)


if __name__ == "__main__":
    imptest.main()
