#!/usr/bin/env python3
"""imprint-cloud as a whole, judged by Python's http.client and ssl: who may do what, enrolment, images, permits, log, and what
a restart makes of a kill at the worst moments.
"""
import csv
import http.client
import io
import json
import os
import re
import subprocess
import threading

import cloudrig
import imptest

ENROL_UNKNOWN, ENROL_BOUND, AUTHOR_UNKNOWN = 7002, 7003, 3016
UNAUTHENTICATED, FORBIDDEN, PROTOCOL = 7103, 7104, 7106
STATION_UNKNOWN, NOT_RELEASED, PAUSED, COUNT_USED_UP, COUNT_IN_WORK = 5010, 5011, 5003, 5001, 5002


class CloudTest(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.cloud = cloudrig.Cloud(self.dir)
        self.start()

    def start(self, *options):
        self.cloud.start(*options)
        self.addCleanup(self.cloud.process.kill)

    def ok(self, answer, status=200):
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def refused(self, answer, code):
        self.assertEqual(answer.code, code, answer.body)

    def post(self, path, body, status=200):
        return self.ok(self.cloud.request("POST", path, body, self.token), status)

    def get(self, path):
        return self.ok(self.cloud.request("GET", path, token=self.token))

    def line(self, units=6):
        """Account with one factory, one enrolled and greeted station, one active image; sets token, station, image."""
        self.token = self.cloud.login()
        self.author = cloudrig.Author(self.cloud, self.dir)
        self.post("/v1/factories", {"name": "Shenzhen"}, 201)
        self.post("/v1/groups", {"factory": "Shenzhen", "name": "hall 1"}, 201)
        self.station = self.enrolled("line-3")
        self.station.hello()
        self.post("/v1/authors", {"name": "Alice", "public": self.author.read("alice.pub").decode()}, 201)
        self.image = self.released(units)

    def enrolled(self, name):
        station = cloudrig.Station(self.cloud, self.dir, name)
        self.ok(station.enrol(self.code()))
        return station

    def code(self):
        return self.post("/v1/codes", {"factory": "Shenzhen", "group": "hall 1"}, 201)["code"]

    def released(self, units):
        image, statement, content = self.author.job(units)
        self.assertEqual(self.post("/v1/images", statement, 201)["image"], image)
        self.ok(self.cloud.request("PUT", f"/v1/images/{image}/content", content, self.token))
        return image

    def counts(self):
        return self.get(f"/v1/images/{self.image}")["counts"]

    def only(self, answer):
        """The one answer of a sync with one item."""
        answers = self.ok(answer)["answers"]
        self.assertEqual(len(answers), 1, answers)
        return answers[0]


class Whole(CloudTest):
    def test_line(self):
        """From the first login to the log, in the order of a working day."""
        self.line()
        images = self.ok(self.station.request("GET", "/v1/station/images"))["images"]
        self.assertEqual([(i["image"], i["state"]) for i in images], [(self.image, "active")])
        # delivery: whole, in part, and not again
        content = self.author.read("x.imp")
        path = f"/v1/station/images/{self.image}/content"
        whole = self.station.request("GET", path)
        self.assertEqual((whole.status, whole.body), (200, content))
        part = self.station.request("GET", path, headers={"Range": "bytes=100-"})
        self.assertEqual((part.status, part.body), (206, content[100:]))
        known = self.station.request("GET", path, headers={"If-None-Match": whole.headers["ETag"]})
        self.assertEqual((known.status, known.body), (304, b""))
        # permit, again, report, again
        want = self.station.want(self.image)
        grant = self.only(self.station.sync(wants=[want]))
        self.assertEqual((grant["kind"], grant["ask"], grant["numbers"][0]["text"]), ("granted", want["ask"], "W-000001"))
        self.assertEqual(self.only(self.station.sync(wants=[want]))["numbers"], grant["numbers"])
        self.assertEqual(len(self.get("/v1/launches")["launches"]), 1)
        report = self.station.report(grant, self.image, uid="0011223344556677")
        for _ in range(2):
            self.assertEqual(self.only(self.station.sync(reports=[report]))["kind"], "confirmed")
        other = dict(report, result="spent", code=2107)
        self.assertEqual(self.only(self.station.sync(reports=[other]))["kind"], "conflict")
        self.assertEqual(self.get("/v1/alarms")["alarms"][0]["kind"], "report-conflict")
        counts = self.counts()
        self.assertEqual((counts["passed"], counts["open"]), (1, 0))
        # pause: a permit that is held is withdrawn, a new one refused; after resume it is there again
        held = self.station.want(self.image)
        first = self.only(self.station.sync(wants=[held]))
        effect = self.post(f"/v1/images/{self.image}/pause", {"reason": "wrong label"})
        self.assertEqual((effect["in_force_us"] - effect["committed_us"], effect["in_work"]), (5000000, 1))
        self.assertEqual(self.only(self.station.sync(wants=[held]))["kind"], "withdrawn")
        self.assertEqual(self.only(self.station.sync(refreshes=[{"launch": held["launch"], "ask": 99}]))["kind"], "withdrawn")
        self.assertEqual(self.only(self.station.sync(wants=[self.station.want(self.image)]))["code"], PAUSED)
        self.post(f"/v1/images/{self.image}/resume", {})
        self.assertEqual(self.only(self.station.sync(wants=[held]))["numbers"], first["numbers"])
        failed = self.station.report(first, self.image, "spent", code=2107,
                                     detail={"step": "verify", "address": 0x800, "expected": "00", "found": "01"})
        self.assertEqual(self.only(self.station.sync(reports=[failed]))["kind"], "confirmed")
        self.log(grant, report, failed)
        self.cloud.stop()
        self.cloud.check()

    def log(self, grant, report, failed):
        records = self.get("/v1/log?limit=1000")["records"]
        self.assertEqual([r["report"]["result"] for r in records], ["passed", "spent", "spent"])
        self.assertEqual([r.get("conflict") for r in records], [False, True, False])
        lines = self.cloud.request("GET", "/v1/log?format=jsonl", token=self.token)
        self.assertEqual([json.loads(line) for line in lines.body.decode().splitlines()], records)
        answer = self.cloud.request("GET", "/v1/log?format=csv", token=self.token)
        rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        self.assertEqual([row["result"] for row in rows], ["passed", "spent", "spent"])
        self.assertEqual((rows[0]["uid"], rows[0]["numbers"], rows[0]["station_name"], rows[0]["image_name"]),
                         ("0011223344556677", "widget=W-000001", "line-3", "Widget"))
        self.assertEqual((rows[2]["error"], rows[2]["address"], rows[2]["expected"], rows[2]["found"], rows[2]["step"]),
                         ("flash-mismatch", "0x00000800", "00", "01", "verify"))
        # pages of one record, joined by the cursor, are the same log
        paged, cursor = [], 0
        while page := self.get(f"/v1/log?limit=1&cursor={cursor}")["records"]:
            paged += page
            cursor = page[-1]["record"]
        self.assertEqual(paged, records)
        self.assertEqual([r["report"]["launch"] for r in self.get("/v1/log?result=passed")["records"]], [grant["launch"]])
        self.assertEqual(len(self.get(f"/v1/log?launch={failed['launch']}")["records"]), 1)
        actions = [row["action"] for row in self.get("/v1/audit?limit=1000")["audit"]]
        for action in ("account-add", "factory-add", "group-add", "code-add", "author-add", "image-add", "image-pause",
                       "image-resume", "image-content"):
            self.assertIn(action, actions)

    def test_count(self):
        """The last unit; what is in work and what is used up are told apart."""
        self.line(units=2)
        wants = [self.station.want(self.image) for _ in range(3)]
        answers = self.ok(self.station.sync(wants=wants))["answers"]
        self.assertEqual([a["kind"] for a in answers], ["granted", "granted", "refused"])
        self.assertEqual((answers[2]["code"], answers[2]["counts"]["open"]), (COUNT_IN_WORK, 2))
        reports = [self.station.report(a, self.image) for a in answers[:2]]
        self.ok(self.station.sync(reports=reports))
        refused = self.only(self.station.sync(wants=[self.station.want(self.image)]))
        self.assertEqual((refused["code"], refused["counts"]["passed"]), (COUNT_USED_UP, 2))


class Doors(CloudTest):
    def test_closed_by_default(self):
        """Every route of the interface's description, without credentials and with those of the wrong kind."""
        self.token = self.cloud.login()
        self.post("/v1/factories", {"name": "Shenzhen"}, 201)
        self.post("/v1/groups", {"factory": "Shenzhen", "name": "hall 1"}, 201)
        station = self.enrolled("line-3")
        people = {"owner": self.token}
        for role in ("engineer", "operator", "auditor"):
            self.post("/v1/people", {"email": f"{role}@acme.example", "role": role, "password": PASSWORDS}, 201)
            people[role] = self.cloud.login(f"{role}@acme.example", PASSWORDS)
        n_refused = 0
        for path, method, who in routes():
            for name, value in (("{id}", "00" * 16), ("{email}", "a@b"), ("{key}", "00"), ("{station}", "00"),
                                ("{launch}", "00")):
                path = path.replace(name, value)
            callers = {"nobody": self.cloud.request(method.upper(), path), "station": station.request(method.upper(), path)}
            for role, token in people.items():
                if path != "/v1/logout":
                    callers[role] = self.cloud.request(method.upper(), path, token=token)
            for caller, answer in callers.items():
                allowed = "public" in who or caller in who
                refused = answer.status in (401, 403)
                if path not in ("/v1/login",):
                    self.assertEqual(refused, not allowed, f"{method} {path} by {caller}: {answer.body}")
                n_refused += refused
        self.assertGreater(n_refused, 100)

    def test_protocol_and_tokens(self):
        self.token = self.cloud.login()
        self.refused(self.cloud.request("GET", "/v1/images", token=self.token, protocol=None), PROTOCOL)
        self.refused(self.cloud.request("GET", "/v1/images", token=self.token, protocol="2"), PROTOCOL)
        self.assertEqual(self.cloud.request("GET", "/healthz", protocol=None).status, 200)
        for email, password in ((cloudrig.OWNER, "wrong password"), ("nobody@acme.example", cloudrig.PASSWORD)):
            self.refused(self.cloud.request("POST", "/v1/login", {"email": email, "password": password}), 7001)
        program = self.post("/v1/tokens", {"name": "ci", "role": "auditor", "days": 1}, 201)
        self.ok(self.cloud.request("GET", "/v1/audit", token=program["token"]))
        self.refused(self.cloud.request("POST", "/v1/factories", {"name": "x"}, program["token"]), FORBIDDEN)
        self.cloud.request("POST", f"/v1/tokens/{program['id']}/revoke", {}, self.token)
        self.refused(self.cloud.request("GET", "/v1/audit", token=program["token"]), UNAUTHENTICATED)
        self.cloud.request("POST", "/v1/logout", {}, self.token)
        self.refused(self.cloud.request("GET", "/v1/images", token=self.token), UNAUTHENTICATED)
        with open(os.path.join(self.cloud.folder, "cloud.db"), "rb") as f:
            stored = f.read()
        self.assertNotIn(program["token"].encode(), stored)
        self.assertNotIn(cloudrig.PASSWORD.encode(), stored)

    def test_people(self):
        self.token = self.cloud.login()
        self.refused(self.cloud.request("POST", f"/v1/people/{cloudrig.OWNER}/remove", {}, self.token), 7013)
        self.refused(self.cloud.request("POST", "/v1/people", {"email": "b@c", "role": "owner", "password": "short"},
                                        self.token), 7011)
        self.post("/v1/people", {"email": "bob@acme.example", "role": "engineer", "password": PASSWORDS}, 201)
        bob = self.cloud.login("bob@acme.example", PASSWORDS)
        self.assertEqual(self.cloud.request("POST", "/v1/password", {"old": PASSWORDS, "new": PASSWORDS + "2"}, bob).status, 204)
        self.refused(self.cloud.request("POST", "/v1/login", {"email": "bob@acme.example", "password": PASSWORDS}), 7001)
        bob = self.cloud.login("bob@acme.example", PASSWORDS + "2")
        self.assertEqual(self.cloud.request("POST", "/v1/people/bob@acme.example/remove", {}, self.token).status, 204)
        self.refused(self.cloud.request("GET", "/v1/images", token=bob), UNAUTHENTICATED)

    def test_enrolment(self):
        self.token = self.cloud.login()
        self.post("/v1/factories", {"name": "Shenzhen"}, 201)
        self.post("/v1/groups", {"factory": "Shenzhen", "name": "hall 1"}, 201)
        code = self.code()
        first = cloudrig.Station(self.cloud, self.dir, "one")
        answer = self.ok(first.enrol(code))
        self.assertEqual(self.ok(first.enrol(code)), answer, "the same keys get the same certificate")
        self.refused(cloudrig.Station(self.cloud, self.dir, "two").enrol(code), ENROL_BOUND)
        half = cloudrig.Station(self.cloud, self.dir, "half")
        half.csr = first.csr
        self.refused(half.enrol(code), ENROL_BOUND)
        forged = code.replace(code.split(".")[1], "0" * 32)
        self.refused(cloudrig.Station(self.cloud, self.dir, "three").enrol(forged), ENROL_UNKNOWN)
        rsa = cloudrig.Station(self.cloud, self.dir, "four")
        cloudrig.openssl("genrsa", "-out", rsa.key, "2048")
        rsa.csr = cloudrig.openssl("req", "-new", "-key", rsa.key, "-subj", "/CN=x").decode()
        self.refused(rsa.enrol(self.code()), 7004)
        # openssl agrees about the certificate
        shown = cloudrig.openssl("x509", "-in", first.cert, "-noout", "-subject", "-ext", "extendedKeyUsage").decode()
        self.assertIn(f"CN = {first.id}", shown)
        self.assertIn("TLS Web Client Authentication", shown)
        cloudrig.openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", self.cloud.ca_file, first.cert)
        # removed: reports and nothing else
        first.hello()
        self.post(f"/v1/stations/{first.id}/remove", {"reason": "sold"})
        self.refused(first.request("GET", "/v1/station/images"), STATION_UNKNOWN)

    def test_foreign_certificate(self):
        """A certificate of the same name by another CA opens nothing."""
        self.token = self.cloud.login()
        self.post("/v1/factories", {"name": "Shenzhen"}, 201)
        self.post("/v1/groups", {"factory": "Shenzhen", "name": "hall 1"}, 201)
        station = self.enrolled("one")
        cloudrig.openssl("req", "-x509", "-key", station.key, "-subj", f"/OU=station/CN={station.id}", "-out", station.cert,
                         "-addext", "extendedKeyUsage=clientAuth")
        self.refused(station.sync(hello={"nonce": "00" * 16, "journal_position": 0}), UNAUTHENTICATED)


PASSWORDS = "a longer password"


def routes():
    """(path, method, who) of api/cloud.yaml; the file keeps a form that three patterns read."""
    path = method = None
    found = []
    with open(os.path.join(os.environ["IMPRINT_SOURCE"], "api", "cloud.yaml"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("components:"):
                break
            if line.startswith("  /"):
                path = line.strip().rstrip(":")
            elif line.startswith("    ") and line.strip().split(":")[0] in ("get", "post", "put"):
                method = line.strip().split(":")[0]
            if "x-who:" in line:
                who = line.split("x-who:")[1].strip().rstrip("}").split(", x-")[0].strip(' "')
                found.append((path, method, who.split()))
    return found


class Images(CloudTest):
    def test_registration(self):
        self.token = self.cloud.login()
        author = cloudrig.Author(self.cloud, self.dir)
        self.author = author
        image, statement, content = author.job(3)
        register = lambda data: self.cloud.request("POST", "/v1/images", data, self.token)
        upload = lambda name, data: self.cloud.request("PUT", f"/v1/images/{name}/content", data, self.token)
        self.refused(register(statement), AUTHOR_UNKNOWN)
        self.post("/v1/authors", {"name": "Alice", "public": author.read("alice.pub").decode()}, 201)
        self.refused(register(statement), 1009)  # the factory is not there
        self.post("/v1/factories", {"name": "Shenzhen"}, 201)
        self.refused(upload(image, content), 5020)
        for at in range(0, len(statement), 7):  # a statement with one bit changed is refused
            changed = bytearray(statement)
            changed[at] ^= 1
            self.assertNotEqual(register(bytes(changed)).code, 0, at)
        self.ok(register(statement), 201)
        self.ok(register(statement), 201)  # the same again
        self.assertFalse(self.get(f"/v1/images/{image}")["content"])
        other, other_statement, other_content = author.job(3)
        self.refused(upload(image, other_content), 7007)
        for data in (b"", content[:-1], content + b"x", content[:500] + b"x" + content[501:]):
            self.assertIn(upload(image, data).code // 100, (30,), len(data))
        self.ok(upload(image, content))
        self.ok(upload(image, content))
        self.assertTrue(self.get(f"/v1/images/{image}")["content"])
        # sealed for another cloud, and without encryption
        os.mkdir(os.path.join(self.dir, "second"))
        second = cloudrig.Cloud(os.path.join(self.dir, "second"))
        foreign = cloudrig.Author(second, os.path.join(self.dir, "second"))
        _, foreign_statement, _ = foreign.job(3)
        self.post("/v1/authors", {"name": "Bob", "public": foreign.read("alice.pub").decode()}, 201)
        self.refused(register(foreign_statement), 3008)
        self.assertEqual(len(self.get("/v1/images")["images"]), 1)
        self.assertEqual([p["pool"] for p in self.get("/v1/pools")["pools"]], ["widget"])
        self.assertEqual(self.cloud.request("POST", "/v1/pools/widget/next", {"next": 500, "reason": "gap"}, self.token).status,
                         204)
        self.refused(self.cloud.request("POST", "/v1/pools/widget/next", {"next": 499, "reason": "gap"}, self.token), 1007)

    def test_factories_are_apart(self):
        """An image of one factory is not there for a station of another, until the station is moved."""
        self.line()
        self.post("/v1/factories", {"name": "Brno"}, 201)
        self.post("/v1/groups", {"factory": "Brno", "name": "hall 1"}, 201)
        code = self.post("/v1/codes", {"factory": "Brno", "group": "hall 1"}, 201)["code"]
        far = cloudrig.Station(self.cloud, self.dir, "far")
        self.ok(far.enrol(code))
        far.hello()
        self.assertEqual(self.ok(far.request("GET", "/v1/station/images"))["images"], [])
        self.refused(far.request("GET", f"/v1/station/images/{self.image}/content"), NOT_RELEASED)
        self.assertEqual(self.only(far.sync(wants=[far.want(self.image)]))["code"], NOT_RELEASED)
        self.assertEqual(self.cloud.request("POST", f"/v1/stations/{far.id}/move", {"factory": "Shenzhen", "group": "hall 1"},
                                            self.token).status, 204)
        self.assertEqual(len(self.ok(far.request("GET", "/v1/station/images"))["images"]), 1)
        self.assertEqual(self.only(far.sync(wants=[far.want(self.image)]))["kind"], "granted")


class Crowd(CloudTest):
    """Requests that arrive together are committed together; one that is refused does not spoil the others."""

    THREADS = 12

    def crowd(self, work):
        """work(connection, index) in THREADS threads at once, each with a kept connection; what they returned."""
        results, faults = [None] * self.THREADS, []
        begin = threading.Barrier(self.THREADS)
        host, port = self.cloud.address.rsplit(":", 1)

        def run(index):
            try:
                context = self.cloud.context(self.station.cert, self.station.key)
                connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
                connection.connect()
                begin.wait()
                results[index] = work(connection, index)
                connection.close()
            except Exception as e:  # shown by the main thread
                faults.append(repr(e))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(self.THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(faults, [])
        return results

    def call(self, connection, method, path, body):
        connection.request(method, path, json.dumps(body).encode(),
                           {"Imprint-Protocol": "1", "Authorization": "Bearer " + self.token})
        response = connection.getresponse()
        return cloudrig.Answer(response.status, response.headers, response.read())

    def test_permits_and_splits(self):
        """Permits and splits race for the numbers of one pool: none is given twice, and the audit log names every range."""
        self.line(units=500)
        wants = [[self.station.want(self.image) for _ in range(8)] for _ in range(self.THREADS)]

        def work(connection, index):
            taken = []
            for i, want in enumerate(wants[index]):
                if (index + i) % 2:
                    body = {"count": 1 + i, "reason": "bench"}
                    answer = self.call(connection, "POST", "/v1/pools/widget/split", body).json()
                    taken.append((answer["first"], answer["last"]))
                    continue
                request = {"protocol": 1, "start_number": self.station.start_number, "wants": [want]}
                answer = self.call(connection, "POST", "/v1/sync", request).json()["answers"][0]
                taken.append((answer["numbers"][0]["number"],) * 2)
            return taken

        ranges = [r for taken in self.crowd(work) for r in taken]
        numbers = [n for first, last in ranges for n in range(first, last + 1)]
        self.assertEqual(sorted(numbers), list(range(1, len(numbers) + 1)))
        audit = [a["subject"] for a in self.get("/v1/audit?limit=1000")["audit"] if a["action"] == "pool-split"]
        splits = self.THREADS * 4
        self.assertEqual(len(audit), splits)
        self.assertEqual(len(set(audit) & {f"widget {a} to {b}" for a, b in ranges}), splits)

    def test_last_units(self):
        """Many ports race for seven units: seven are granted, each with a number of its own."""
        self.line(units=7)
        wants = [[self.station.want(self.image) for _ in range(4)] for _ in range(self.THREADS)]

        def work(connection, index):
            answers = []
            for want in wants[index]:
                request = {"protocol": 1, "start_number": self.station.start_number, "wants": [want]}
                answers += self.call(connection, "POST", "/v1/sync", request).json()["answers"]
            return answers

        answers = [a for some in self.crowd(work) for a in some]
        granted = [a for a in answers if a["kind"] == "granted"]
        self.assertEqual(len({a["numbers"][0]["number"] for a in granted}), 7)
        self.assertEqual(len(granted), 7)
        self.assertEqual({a["code"] for a in answers if a["kind"] == "refused"}, {COUNT_IN_WORK})
        self.cloud.stop()
        self.cloud.check()

    def test_last_unit_again_and_again(self):
        """Four ports ask for the only unit at the same moment, a thousand times: it is granted to one of them each time."""
        self.line(units=1)
        ports, rounds = 4, 1000
        meet = threading.Barrier(ports)
        answers = [[None] * ports for _ in range(rounds)]

        def work(connection, index):
            if index >= ports:
                return
            try:
                for n in range(rounds):
                    want = {"launch": cloudrig.new_launch(), "image": self.image, "ask": n * ports + index + 1, "port": str(index + 1)}
                    body = {"protocol": 1, "start_number": self.station.start_number}
                    meet.wait(60)
                    answer = answers[n][index] = self.call(connection, "POST", "/v1/sync", {**body, "wants": [want]}).json()["answers"][0]
                    meet.wait(60)
                    if answer["kind"] == "granted":  # given back: the next round is about the same unit
                        report = self.station.report(answer, self.image, result="returned")
                        self.call(connection, "POST", "/v1/sync", {**body, "reports": [report]})
            except Exception:
                meet.abort()
                raise

        self.crowd(work)
        for n, some in enumerate(answers):
            self.assertEqual(sorted(a["kind"] for a in some), ["granted"] + ["refused"] * (ports - 1), n)
            self.assertEqual({a["code"] for a in some if a["kind"] == "refused"}, {COUNT_IN_WORK}, n)
        self.assertEqual({some.index(a) for some in answers for a in some if a["kind"] == "granted"}, set(range(ports)))
        counts = self.counts()
        self.assertEqual((counts["open"], counts["passed"], counts["returned"]), (0, 0, rounds))
        self.cloud.stop()
        self.cloud.check()

    def test_isolation(self):
        """In one crowd: names that exist, malformed syncs, roles that may not, and good requests, whose effect is there."""
        self.line()

        def work(connection, index):
            codes = []
            for i in range(8):
                codes.append((0, self.call(connection, "POST", "/v1/factories", {"name": f"f {index} {i}"}).code))
                codes.append((1008, self.call(connection, "POST", "/v1/factories", {"name": "Shenzhen"}).code))
                codes.append((1009, self.call(connection, "POST", "/v1/groups", {"factory": "nowhere", "name": "x"}).code))
                bad = {"protocol": 1, "start_number": 1, "wants": [{"launch": "x"}]}
                codes.append((None, self.call(connection, "POST", "/v1/sync", bad).code))
            return codes

        for expected, code in (pair for some in self.crowd(work) for pair in some):
            if expected is None:
                self.assertNotEqual(code, 0)
            else:
                self.assertEqual(code, expected)
        names = {f["name"] for f in self.get("/v1/factories")["factories"]}
        self.assertEqual(names, {"Shenzhen"} | {f"f {t} {i}" for t in range(self.THREADS) for i in range(8)})
        metrics = self.cloud.request("GET", "/metrics", token=self.token).body.decode()
        largest = int(re.search(r"^imprint_cloud_batch_largest (\d+)$", metrics, re.M).group(1))
        self.assertGreater(largest, 1, "no two requests shared a transaction: the test tested nothing")


class Crash(CloudTest):
    """Killed in the transaction of a want and of a report, at three points; then started again and asked again."""

    def again(self, point):
        self.line()
        self.cloud.stop()
        # a want whose answer never comes
        self.start("--test-kill-at", f"{point}:1")
        want = self.station.want(self.image)
        with self.assertRaises(OSError):
            self.station.sync(wants=[want])
        self.cloud.wait_killed()
        self.start("--test-kill-at", f"{point}:3")
        self.assertEqual(self.counts()["open"], 0 if point == "before-commit" else 1)
        grant = self.only(self.station.sync(wants=[want]))
        self.assertEqual((grant["kind"], grant["numbers"][0]["text"]), ("granted", "W-000001"))
        self.assertEqual(self.only(self.station.sync(wants=[want]))["numbers"], grant["numbers"])
        # a report whose answer never comes
        report = self.station.report(grant, self.image)
        with self.assertRaises(OSError):
            self.station.sync(reports=[report])
        self.cloud.wait_killed()
        self.start()
        self.assertEqual(self.counts()["passed"], 0 if point == "before-commit" else 1)
        for _ in range(2):
            self.assertEqual(self.only(self.station.sync(reports=[report]))["kind"], "confirmed")
        self.assertEqual(self.only(self.station.sync(wants=[want]))["kind"], "ended")
        counts = self.counts()
        self.assertEqual((counts["passed"], counts["open"]), (1, 0))
        records = self.get("/v1/log")["records"]
        self.assertEqual([(r["report"]["launch"], r["conflict"]) for r in records], [(want["launch"], False)])
        self.assertEqual(self.get("/v1/alarms")["alarms"], [])
        self.cloud.stop()
        self.cloud.check()

    def test_before_commit(self):
        self.again("before-commit")

    def test_after_commit(self):
        self.again("after-commit")

    def test_before_answer(self):
        self.again("before-answer")


class Program(CloudTest):
    def run_cloud(self, *args, status):
        done = subprocess.run([imptest.program("imprint-cloud"), *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_configuration(self):
        """A broken configuration is refused with file, line and reason; a second server on one folder, too."""
        path = os.path.join(self.dir, "broken.yaml")
        for text, place, reason in (("cloud: 1\ndata: .\nlisten: [\n", "broken.yaml:", ""),
                                    ("cloud: 1\ndata: .\nlisten: 127.0.0.1:0\nurls: x\n", "broken.yaml:4:1", "urls"),
                                    ("cloud: 2\ndata: .\nlisten: 127.0.0.1:0\n", "broken.yaml:1:", ""),
                                    ("cloud: 1\ndata: .\n", "broken.yaml", "listen"),
                                    ("cloud: 1\ndata: .\nlisten: 127.0.0.1:0\nurl: http://a\n", "broken.yaml:4:", "https")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            said = self.run_cloud("run", "--config", path, status=1)
            self.assertIn(place, said)
            self.assertIn(reason, said)
        self.assertIn("cloud.db", self.run_cloud("run", "--config", self.cloud.config(), status=1))
        self.assertIn("cloud.db", self.run_cloud("check", "--config", self.cloud.config(), status=1))
        # a path from the current folder finds the same data folder
        self.assertIn(self.cloud.folder + "/cloud.db",
                      self.run_cloud("run", "--config", os.path.relpath(self.cloud.config()), status=1))
        self.assertIn("E1008", self.run_cloud("init", "--data", self.cloud.folder, "--account", "A", "--owner", "a@b",
                                              "--password-file", os.path.join(self.dir, "password"), "--url",
                                              "https://127.0.0.1:0", status=1))
        self.run_cloud("dance", status=2)
        self.run_cloud("run", status=2)

    def test_damaged_folder(self):
        self.cloud.stop()
        for name in ("ca.key", "tls.key", "tls.pem", "cloud.db"):
            path = os.path.join(self.cloud.folder, name)
            with open(path, "rb") as f:
                good = f.read()
            os.truncate(path, len(good) // 2)
            self.run_cloud("run", "--config", self.cloud.config(), status=1)
            os.remove(path)
            self.assertIn(name, self.run_cloud("run", "--config", self.cloud.config(), status=1))
            with open(path, "wb") as f:
                f.write(good)
        self.start()
        self.token = self.cloud.login()


if __name__ == "__main__":
    imptest.main()
