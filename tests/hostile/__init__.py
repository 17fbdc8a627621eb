"""Programs that try what programs should not: tables by the rows of what a sandbox for untrusted code must withstand."""

from tests.hostile import classification, escapes, fake_passes, hangs, harness, resources

ROWS = {
    "fake passes": fake_passes.CASES,
    "hangs": hangs.CASES,
    "waits": hangs.WAITS,
    "resources": resources.CASES,
    "escapes": escapes.CASES,
    "harness": harness.CASES,
    "classification": classification.CASES,
}
