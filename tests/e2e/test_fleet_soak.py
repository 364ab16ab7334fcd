# SPDX-License-Identifier: Apache-2.0
"""Everything at once, in an order that nobody thought of: a seeded mix of operators, pipelines, deaths and outages.

In the end all is healed, and the fleet must be where the log says, without help; meanwhile no reader was told anything wrong.
A failure names its seed; FKV_SOAK_SEED runs it again. A quarter of a minute, or five with FKV_LONG=1.
"""

import os
import random
import signal
import time

import fkvtest
import fold
import pytest
from fleet import fleet  # noqa: F401
from test_fleet_crash import find_mark, one_mount

SECONDS = 300 if fkvtest.LONG else 15


class Soak:
    def __init__(self, fleet, seed):  # noqa: F811
        self.fleet, self.store, self.rng, self.mark = fleet, fleet.store, random.Random(seed), 0
        self.nodes = list(fleet.nodes.values())
        self.done, self.running = {}, []
        self.is_away = False

    # Each step is one thing that happens in a fleet's life. A command may be refused, never crash or hang.

    def command(self, *args, statuses=(0, 1, 3, 4)):
        if self.is_away:  # it would try for ten seconds
            return None
        done = self.store.fkv(*args, check=False)
        assert done.returncode in statuses, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def build(self):
        self.mark += 1
        return self.fleet.build("ads", mark=self.mark)

    def publish(self, *options):
        if not self.is_away:
            self.command("publish", f"ads={self.build()}", "--max-change", "0", "--timeout", "3s", *options)

    def step_publish(self):
        self.publish("--quorum", "2")

    def step_publish_at_once(self):
        self.publish("--no-wait")

    def step_canary(self):
        self.publish("--canary", self.rng.choice(["n1", "label:odd"]))

    def step_promote(self):
        self.command("promote", "ads", "--timeout", "2s")

    def step_abort(self):
        self.command("abort", "ads", "--timeout", "2s")

    def step_publisher_dies(self):
        if self.is_away:
            return
        process = self.store.spawn("publish", f"ads={self.build()}", "--max-change", "0", "--timeout", "2s")
        time.sleep(self.rng.uniform(0, 0.5))
        process.send_signal(self.rng.choice([signal.SIGKILL, signal.SIGTERM]))
        process.communicate(timeout=30)

    def step_rollback(self):
        self.command("rollback", "ads", "--timeout", "2s")

    def step_rollback_far(self):
        if self.is_away:
            return
        versions = [v["version"] for v in self.store.json("ls", "ads")["versions"]]
        self.command("rollback", "ads", "--to", self.rng.choice(versions), "--timeout", "2s")

    def step_pin(self):
        self.command("pin", "ads", "current", "--label", "odd")

    def step_unpin(self):
        self.command("unpin", "ads", "--label", "odd")

    def step_gc(self):
        self.command("gc", "--wait", "200ms")

    def step_kill_a_node(self):
        node = self.rng.choice(self.nodes)
        if not node.paused:
            node.kill()
            time.sleep(self.rng.uniform(0, 0.3))
            node.start(wait=False)

    def step_pause_a_node(self):
        node = self.rng.choice(self.nodes)
        if node.process.poll() is None:
            (node.resume if node.paused else node.pause)()

    def step_store(self):
        if self.is_away:
            self.store.come_back()
        else:
            self.store.go_away()
        self.is_away = not self.is_away

    def step_nothing(self):
        time.sleep(self.rng.uniform(0, 0.5))

    STEPS = {"publish": 4, "publish_at_once": 4, "canary": 2, "promote": 2, "abort": 1, "publisher_dies": 4, "rollback": 4,
             "rollback_far": 2, "pin": 1, "unpin": 1, "gc": 2, "kill_a_node": 5, "pause_a_node": 3, "store": 2, "nothing": 3}

    def run(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            name = self.rng.choices(list(self.STEPS), self.STEPS.values())[0]
            if self.is_away and self.rng.random() < 0.4:
                name = "store"
            self.done[name] = self.done.get(name, 0) + 1
            getattr(self, "step_" + name)()
            for one in self.fleet.checkers:
                one.check()

    def heal(self):
        if self.is_away:
            self.step_store()
        for node in self.nodes:
            if node.paused:
                node.resume()
        for node in self.nodes:
            fkvtest.wait_until(node.answers, f"{node.name} answers", 2 * fkvtest.PATIENCE_S)
            assert one_mount(node)
        self.store.fkv("unpin", "ads", "--label", "odd")
        self.publish("--no-wait")
        current = self.store.json("ls", "ads")["current"]
        self.fleet.wait_serving("ads", current, timeout_s=3 * fkvtest.PATIENCE_S)
        self.fleet.wait_more()


def check_marks(soak):
    """What readers saw under a version's number is what is there under it, and always the same."""
    seen = {}
    for one in soak.fleet.checkers:
        for flip in one.flips("ads"):
            assert seen.setdefault(flip["new"], flip["mark"]) == flip["mark"], f"two contents of version {flip['new']}"
    living = [v["version"] for v in soak.store.json("ls", "ads")["versions"] if v["state"] not in ("retired", "forgotten")]
    for version in living:
        if version in seen:
            assert find_mark(soak.store, "ads", version, range(1, soak.mark + 1)) == seen[version]


@pytest.mark.slow
def test_whatever_happens_readers_are_told_the_truth_and_the_fleet_heals(fleet):  # noqa: F811
    seed = int(os.environ.get("FKV_SOAK_SEED", time.time_ns() % 10**6))
    print(f"FKV_SOAK_SEED={seed}")
    fleet.start(2)
    fleet.add("n3", "--label", "odd", "--keep", "0")
    soak = Soak(fleet, seed)
    soak.publish()
    fleet.watch("ads", marks=True)
    soak.run()
    soak.heal()
    fleet.finish()
    print(soak.done, sum(one.answered() for one in fleet.checkers), "batches")
    folded = fold.Fold(fleet.store.path).run()
    assert folded.tables["ads"].current == soak.store.json("ls", "ads")["current"]
    assert soak.store.json("verify")["bad"] == 0
    check_marks(soak)
