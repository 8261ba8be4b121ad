#!/usr/bin/env python3
"""Keys as a factory lives with them: image keys granted, deleted, granted again, rotated."""
import impstation
import imptest


class Keys(impstation.TestCase):
    def setUp(self):
        super().setUp()
        self.write("app.hex", impstation.intel_hex(self.app))
        self.keys()
        self.board_ = self.board()
        self.station_ = self.station(self.init([self.board_]))

    def on_station(self, *args):
        return self.imprint(*args, "--socket", self.station_.socket)

    def fingerprint(self):
        return self.station_.get("/v1/keys")["sealing"]["fingerprint"]

    def launch(self, image):
        self.board_.control("next")
        return self.station_.wait(self.station_.launch(image))[0]["state"]

    def refused(self, code, image):
        before = self.board_.status()["packets"]
        with self.assertRaises(impstation.ApiError) as caught:
            self.station_.launch(image)
        self.assertEqual(caught.exception.code, code)
        self.assertEqual(self.board_.status()["packets"], before)

    def load(self, out="widget.imp"):
        with open(self.path(out), "rb") as f:
            return self.station_.post("/v1/images", f.read(), "application/octet-stream")["id"]

    def test_deleted_key(self):
        """A station whose key was deleted refuses at once, also after a restart, and runs again after a new grant."""
        self.admit(self.station_)
        self.sap()
        image = self.load()
        self.assertEqual(self.launch(image), "passed")
        revoked = self.on_station("key", "revoke", self.path("image.pub"))
        self.assertEqual(revoked["images"], 1)
        self.refused(3015, image)
        self.station_.stop()
        self.station_ = self.station(self.station_.data)
        self.refused(3015, image)
        self.grant(self.station_)
        self.assertEqual(self.launch(image), "passed")
        with self.assertRaisesRegex(AssertionError, "E?3109|key-role"):
            self.on_station("key", "grant", self.path("author.key"), "--fingerprint", self.fingerprint())

    def test_rotation(self):
        self.admit(self.station_)
        self.sap(numbers="1-100")
        old = self.load()
        self.imprint("key", "new", "image", "next", "--dir", self.dir)
        rotate = ["key", "rotate", self.path("image.pub"), self.path("next.key"), "--fingerprint", self.fingerprint()]
        with self.assertRaisesRegex(AssertionError, "does not have the new key"):
            self.on_station(*rotate, "--finish")
        self.assertEqual(self.on_station(*rotate)["images"], 1)
        self.assertEqual(len(self.station_.get("/v1/keys")["granted"]), 2)
        self.sap("--encrypt-to", self.path("next.pub"), encrypted=False, numbers="101-200", out="next.imp")
        new = self.load("next.imp")
        self.assertEqual([self.launch(image) for image in (old, new)], ["passed", "passed"])  # both are valid
        with self.assertRaisesRegex(AssertionError, "still needs the old key"):
            self.on_station(*rotate, "--finish")
        self.station_.delete(f"/v1/images/{old}")
        self.on_station(*rotate, "--finish")
        self.assertEqual([k["id"] for k in self.station_.get("/v1/keys")["granted"]],
                         [self.imprint("key", "show", self.path("next.pub"))["id"]])
        self.assertEqual(self.launch(new), "passed")
        self.refused(3015, self.load())


if __name__ == "__main__":
    imptest.main()
