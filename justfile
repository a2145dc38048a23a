# Names for what CI runs. Every recipe is one command: the work is in `cargo xtask`.

# Lists the recipes.
default:
    @just --list

# Everything that CI runs.
ci:
    bash .ci/run

# Everything that must hold before a change lands; with names, only those steps.
test *steps:
    cargo xtask test {{ steps }}

fmt:
    cargo fmt --all

clippy:
    cargo xtask test clippy

build:
    cargo xtask test build

tests:
    cargo xtask test build tests

doctests:
    cargo xtask test doctests

docs:
    cargo xtask test docs

deny:
    cargo xtask test deny

python:
    cargo xtask test python

fuzz:
    cargo xtask test fuzz

# A million invocations with random disconnects; ends with nothing leaked.
soak *args:
    cargo xtask soak {{ args }}

# Known vulnerabilities; not part of CI, because they appear without any change here.
advisories:
    cargo deny --workspace check advisories

demo:
    cargo xtask demo

# The static programs for images of Python agents.
hosts *args:
    cargo xtask hosts {{ args }}

bench *names:
    cargo xtask bench {{ names }}
