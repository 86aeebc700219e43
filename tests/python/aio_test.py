#!/usr/bin/env python3
"""sessreg.aio.AsyncClient: the same answers as sessreg.Client, to the task that asked.

usage: SESSREG_DAEMON=…/sessregd aio_test.py [TestClass[.test]]…
"""

import asyncio
import unittest

import scene
from scene import HANG_S, FakeDaemon, Folder, Relay, WithDaemon, sessreg
from sessreg.aio import AsyncClient


class AsyncTest:
    def async_client(self, service="shop", **options):
        return AsyncClient(service, "t", options.pop("socket", self.folder / "sock"),
                           **{"timeout": HANG_S} | options)

    def run_async(self, test):
        """Whatever the loop complains about fails the test."""
        complaints = []

        async def watched():
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: complaints.append(context))
            await asyncio.wait_for(test(), 2 * HANG_S)
        asyncio.run(watched())
        self.assertEqual(complaints, [])


class Calls(AsyncTest, WithDaemon):

    def test_all_calls(self):
        self.configure(sessions_limit=9, user_sessions_limit=1, max_failed_auth_per_host=5)

        async def test():
            async with self.async_client() as client:
                session = await client.admit("anna", "192.0.2.7", "laptop", "x", ttl_seconds=60)
                self.assertEqual((session.user, session.label), ("anna", "laptop"))
                self.assertEqual((await client.touch(session.token, passive=True)).state, "active")
                with self.assertRaises(sessreg.Refused) as caught:
                    await client.admit("anna", device="y")
                self.assertEqual([own.id for own in caught.exception.own], [session.id])
                used = await client.use("otto", "x")
                self.assertTrue(used.opened)
                self.assertEqual((await client.show(id=used.session.id)).user, "otto")
                self.assertEqual(len(await client.list()), 2)
                self.assertEqual((await client.attempt("192.0.2.7", failed=True)).failures, 1)
                self.assertEqual(await client.revoke(used.session.id, "why"), "ended")
                with self.assertRaises(sessreg.Revoked):
                    await client.use("otto", "x")
                await client.close(session.token)
                await client.close(session.token)
                with self.assertRaises(sessreg.Ended):
                    await client.touch(session.token)
                with self.assertRaises(sessreg.Invalid):
                    await client.touch("nonsense")
        self.run_async(test)
        self.assertEqual(self.seats(), 0)

    def test_a_hundred_tasks_share_one_connection_and_never_an_answer(self):
        self.configure(sessions_limit=100)

        async def test():
            async with self.async_client() as client:
                async def browser(number):
                    session = await client.admit(f"u{number}", device="x")
                    shown = await client.show(session.token)
                    self.assertEqual((session.user, shown.id), (f"u{number}", session.id))
                    return session
                sessions = await asyncio.gather(*map(browser, range(100)))
                self.assertEqual(len(await client.list()), 100)
                await asyncio.gather(*(client.close(session.token) for session in sessions))
        self.run_async(test)
        self.assertEqual(self.seats(), 0)

    def test_tasks_that_are_cancelled_leave_the_others_their_answers(self):
        self.configure(sessions_limit=400)

        async def test():
            async with self.async_client() as client:
                async def browser(number):
                    for turn in range(5):
                        used = await client.use(f"u{number}", f"d{turn}")
                        self.assertEqual(used.session.user, f"u{number}")
                tasks = [asyncio.ensure_future(browser(number)) for number in range(60)]
                for number, task in enumerate(tasks):
                    if number % 3 == 0:
                        await asyncio.sleep(0.001)
                        task.cancel()
                for number, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
                    self.assertIn(type(result), (type(None), asyncio.CancelledError), result)
                    if number % 3:
                        self.assertIsNone(result)
        self.run_async(test)

    def test_a_daemon_that_was_restarted_is_found_again(self):
        async def test():
            async with self.async_client() as client:
                token = (await client.admit("anna", device="x")).token
                for _ in range(3):
                    self.kill_daemon()
                    with self.assertRaises(sessreg.Unavailable):
                        await client.touch(token)
                    self.start_daemon()
                    await asyncio.gather(*(client.touch(token) for _ in range(10)))
        self.run_async(test)
        self.assertEqual(self.seats(), 1)

    def test_one_client_serves_one_loop_after_another(self):
        client = self.async_client()

        async def use():
            await client.use("anna", "x")
        for _ in range(3):
            self.run_async(use)

    def test_a_login_whose_answer_was_lost_takes_one_seat(self):
        async def test():
            with Relay(self.folder / "relay", self.socket_path) as relay:
                async with self.async_client(socket=relay.path) as client:
                    session = await client.admit("anna")
                    first, second = (call["parameters"] for call in relay.calls)
                    self.assertEqual(first, second)
                    await client.touch(session.token)
        self.run_async(test)
        self.assertEqual(self.seats(), 1)


class Answers(AsyncTest, Folder):

    def test_an_answer_to_who_was_cancelled_goes_to_nobody(self):
        held = []

        def hold(connected, message):
            held.append((connected, message))
            if b"last" in message:
                for its, call in held:
                    token = scene.json.loads(call)["parameters"]["token"]
                    its.sendall(b'{"parameters":{"state":"%s"}}\0' % token.encode())

        async def test():
            with FakeDaemon(self.folder / "sock", hold):
                async with self.async_client() as client:
                    first = asyncio.ensure_future(client.touch("first", passive=True))
                    second = asyncio.ensure_future(client.touch("second", passive=True))
                    while len(held) < 2:
                        await asyncio.sleep(0.01)
                    first.cancel()
                    last = await client.touch("last", passive=True)
                    self.assertEqual((last.state, (await second).state), ("last", "second"))
                    self.assertTrue(first.cancelled())
        self.run_async(test)

    def test_who_gets_no_answer_is_told_so_and_the_next_one_has_a_new_connection(self):
        def late(connected, message):
            if b"slow" not in message:
                connected.sendall(b'{"parameters":{}}\0')

        async def test():
            with FakeDaemon(self.folder / "sock", late) as fake:
                async with self.async_client(timeout=1) as client:
                    with self.assertRaises(sessreg.Unavailable) as caught:
                        await client.touch("slow")
                    self.assertIn("no answer in 1 seconds", str(caught.exception))
                    client._timeout = HANG_S  # for a slow machine
                    await client.touch("quick")
                    self.assertEqual(len(fake.calls), 2)
        self.run_async(test)

    def test_nonsense_is_told_to_one_and_the_others_ask_again(self):
        def answer(connected, message):
            if len(fake.calls) == 2:
                connected.sendall(b"nonsense\0")
            elif len(fake.calls) > 2:
                connected.sendall(b'{"parameters":{}}\0')

        async def test():
            async with self.async_client() as client:
                first, second = await asyncio.gather(client.touch("first"), client.touch("second"),
                                                     return_exceptions=True)
                self.assertIsInstance(first, sessreg.Unavailable)
                self.assertIn("not JSON", str(first))
                self.assertIsInstance(second, sessreg.Standing)
        with FakeDaemon(self.folder / "sock", answer) as fake:
            self.run_async(test)

    def test_what_nobody_asked_for_ends_the_connection(self):
        def twice(connected, _):
            connected.sendall(b'{"parameters":{"state":"%d"}}\0' % len(fake.calls) * 2)

        async def test():
            async with self.async_client() as client:
                for number in range(1, 4):
                    self.assertEqual((await client.touch("t", passive=True)).state, str(number))
                    await asyncio.sleep(0.05)
        with FakeDaemon(self.folder / "sock", twice) as fake:
            self.run_async(test)

    def test_an_answer_without_an_end_is_cut_off(self):
        def endless(connected, _):
            while True:
                connected.sendall(b"x" * (1 << 16))

        async def test():
            async with self.async_client() as client:
                with self.assertRaises(sessreg.Unavailable) as caught:
                    await client.touch("t")
                self.assertIn("longer than", str(caught.exception))
        with FakeDaemon(self.folder / "sock", endless):
            self.run_async(test)

    def test_nobody_there(self):
        async def test():
            async with self.async_client() as client:
                results = await asyncio.gather(*(client.touch("t") for _ in range(5)),
                                               return_exceptions=True)
                for result in results:
                    self.assertIsInstance(result, sessreg.Unavailable)
                    self.assertIn("start sessregd", str(result))
        self.run_async(test)


if __name__ == "__main__":
    unittest.main(verbosity=2)
