#!/usr/bin/env python3
"""The package as it is published: typed, and built from its source without the network.

usage: SESSREG_VERSION=0.1.0 package_test.py [TestClass[.test]]…
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unittest
import zipfile

from scene import LIBRARY, Folder, sessreg

BUILD_S = 280  # unless it hangs


class Package(Folder):

    def run_module(self, module, *arguments, **environ):
        done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True,
                              timeout=BUILD_S, cwd=self.folder / "tree", env=os.environ | environ)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def setUp(self):
        super().setUp()
        shutil.copytree(LIBRARY, self.folder / "tree", ignore=shutil.ignore_patterns("__pycache__"))

    def test_the_comparison_names_tests_that_there_are(self):
        named = re.findall(r"`(test_\w+)`", (LIBRARY / "comparison.md").read_text())
        self.assertGreater(len(named), 15)
        sources = "".join(path.read_text() for path in (LIBRARY.parents[1] / "tests" / "python").glob("*_test.py"))
        self.assertEqual([name for name in named if f"def {name}(" not in sources], [])

    def test_its_version_is_that_of_sessreg(self):
        self.assertEqual(sessreg.__version__, os.environ["SESSREG_VERSION"])

    @unittest.skipUnless(importlib.util.find_spec("mypy"), "there is no mypy")
    def test_it_is_typed_to_the_last_function(self):
        said = self.run_module("mypy", "--strict", "--cache-dir", self.folder / "cache", "-p", "sessreg")
        self.assertIn("no issues found", said)
        # Those who use it see the types.
        (self.folder / "tree" / "use.py").write_text(
            "import sessreg\nfrom sessreg.aio import AsyncClient\n"
            "reveal_type(sessreg.Client('a').admit('b').token)\n"
            "async def use() -> None:\n"
            "    reveal_type((await AsyncClient('a').use('b', 'c')).session)\n")
        said = self.run_module("mypy", "--strict", "--cache-dir", self.folder / "cache", "use.py")
        self.assertRegex(said, r'"Union\[builtins\.str, None\]"|"(builtins\.)?str \| None"')
        self.assertIn('"sessreg.records.Session"', said)

    @unittest.skipUnless(importlib.util.find_spec("build") and importlib.util.find_spec("wheel"),
                         "there is no python3-build or python3-wheel")
    def test_wheel_and_sdist_are_built_without_the_network(self):
        # The wheel is built from the sdist, so that has all that it takes.
        self.run_module("build", "--no-isolation", "--outdir", self.folder / "out",
                        http_proxy="http://127.0.0.1:9/", https_proxy="http://127.0.0.1:9/")
        version = os.environ["SESSREG_VERSION"]
        self.assertEqual(sorted(os.listdir(self.folder / "out")),
                         [f"sessreg-{version}-py3-none-any.whl", f"sessreg-{version}.tar.gz"])
        with tarfile.open(self.folder / "out" / f"sessreg-{version}.tar.gz") as sdist:
            names = sdist.getnames()
            [license_text] = [sdist.extractfile(name).read() for name in names if name.endswith("/LICENSE")]
        self.assertEqual(license_text, (LIBRARY.parents[1] / "LICENSE").read_bytes())
        wheel = self.folder / "out" / f"sessreg-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel) as packed:
            inside = set(packed.namelist())
            metadata = packed.read(f"sessreg-{version}.dist-info/METADATA").decode()
        sources = {path.relative_to(LIBRARY).as_posix() for path in (LIBRARY / "sessreg").rglob("*")
                   if path.is_file() and "__pycache__" not in path.parts}
        self.assertIn("sessreg/py.typed", sources)
        self.assertEqual({name for name in inside if ".dist-info/" not in name}, sources)
        self.assertNotIn("Requires-Dist", metadata)
        self.assertIn("Requires-Python: >=3.9", metadata)
        said = self.run_python("import sessreg.aio, sessreg.embedded, sessreg.wsgi; print(sessreg.__file__)",
                               PYTHONPATH=str(wheel))
        self.assertTrue(said.startswith(str(wheel)), said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
