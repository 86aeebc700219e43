"""Runs the tests of a script side by side: most of their time they wait."""

import concurrent.futures
import faulthandler
import sys
import time
import unittest


# If no test begins or ends for so long, those under way hang: where is shown.
HANGS_S = 240


def _tests_of(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _tests_of(each)
        else:
            yield each


def main(workers, log_of=lambda test: ""):
    """Runs the tests of the calling script, that many at once, and exits. Arguments are the tests'
    names. log_of(test): what helps to understand a failure."""
    loader = unittest.TestLoader()
    script = sys.modules["__main__"]
    suite = (loader.loadTestsFromNames(sys.argv[1:], script) if sys.argv[1:]
             else loader.loadTestsFromModule(script))
    failed = []

    def run(test):
        result = unittest.TestResult()
        began = time.monotonic()
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        test.run(result)
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        bad = result.failures + result.errors
        word = "FAILED" if bad else "skipped" if result.skipped else "ok"
        text = f"{word:8}{time.monotonic() - began:5.1f} s  {test.id()}\n"
        for _, trace in bad:
            text += trace
        for _, reason in result.skipped:
            text += f"  {reason}\n"
        if bad:
            failed.append(test.id())
            text += log_of(test)
        print(text, end="", flush=True)
        return result.testsRun

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        count = sum(pool.map(run, list(_tests_of(suite))))
    if count == 0:
        print("no tests were run")
    sys.exit(1 if failed or count == 0 else 0)
