"""Compiles every Python file under the given folders with the grammar of Python 3.9, and writes nothing."""

import ast
import pathlib
import sys

files = [path for folder in sys.argv[1:] for path in sorted(pathlib.Path(folder).rglob("*.py"))]
wrong = []
for path in files:
    try:
        source = path.read_bytes()
        ast.parse(source, str(path), feature_version=(3, 9))
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        wrong.append(f"{path}:{error.lineno}: {error.msg}")
print("\n".join(wrong) or f"{len(files)} Python files compile")
sys.exit(1 if wrong or not files else 0)
