"""Settings that libraries read from the environment when they load: import this before torch."""

import os

# A core that is busy with something else must not make OpenMP's other threads spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers keep large blocks of memory rather than give them back and page them in anew each step (glibc).
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**40))
