"""What holds for every file of the package."""

import ast
import os
import sys
import unittest

from support import PACKAGE

OURS = {"bedrock_agentcore", "_agentcore_worker", "support", "server", "agents"}
# Told apart by name where the interpreter has no list (before 3.10).
STDLIB = getattr(sys, "stdlib_module_names", None)


def files():
    for folder, folders, names in os.walk(PACKAGE):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, PACKAGE), file.read()


class Files(unittest.TestCase):
    def test_the_syntax_is_that_of_python_3_9(self):
        seen = 0
        for path, source in files():
            with self.subTest(path):
                ast.parse(source, path, feature_version=(3, 9))
                seen += 1
        self.assertGreater(seen, 20)

    def test_every_file_says_what_it_is_for(self):
        for path, source in files():
            with self.subTest(path):
                self.assertTrue(ast.get_docstring(ast.parse(source)))

    def test_no_file_outgrows_its_reader(self):
        for path, source in files():
            with self.subTest(path):
                self.assertLessEqual(len(source.splitlines()), 500)
                self.assertLessEqual(max(map(len, source.splitlines())), 120)

    @unittest.skipIf(STDLIB is None, "this Python has no list of its modules")
    def test_only_the_standard_library_is_imported(self):
        for path, source in files():
            if path.startswith("tests") or path.endswith(("official.py", "_starlette.py")):
                continue
            for node in ast.walk(ast.parse(source)):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module]
                for name in names:
                    with self.subTest(path, imported=name):
                        self.assertIn(name.partition(".")[0], STDLIB | OURS)


if __name__ == "__main__":
    unittest.main()
