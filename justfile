# The words of everyday work. `scripts/test` needs no just; it says the same.

# What there is.
default:
    @just --list

# Formatting, lints and the house rules: before each commit.
check:
    scripts/test check

# The tests that this machine can run; what is missing is named.
test *args:
    cargo nextest run --workspace --all-features {{args}}

# Everything, with what the tests need installed: what CI runs.
test-all:
    scripts/test
