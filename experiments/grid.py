"""A grid of runs, variants by folds by seeds: trained in parallel on a machine or a cluster, resumed after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from experiments.files import BadDataError, check_different
from experiments.runs import CHECKPOINT, EPOCHS, SETTINGS, Result, claim_settings, read_result

ATTEMPTS = 3  # a worker that dies takes the whole grid with it: what is unfinished is submitted again, twice
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
# Read by libraries when a worker starts. A core that is busy with something else must not make OpenMP's other threads
# spin; and workers keep large blocks of memory (glibc) rather than give them back and page them in anew each step.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


class Variant(NamedTuple):
    """One row of an experiment's table: its name, and from a seed and a fold the settings in which it differs."""

    name: str
    settings: Callable[[int, str], Mapping[str, Any]]


class Run(NamedTuple):
    """One training and test.

    Attributes:
        folder: Where everything of it goes.
        settings: Its configuration, as `experiments.train` takes it.
    """

    folder: Path
    settings: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Epochs of its training."""
        return int(self.settings["trainer"]["max_epochs"])


class Worker(NamedTuple):
    """A process that trains: its threads, and the process that it works for; without that, nobody wants its results."""

    threads: int
    owner: int | None


def make_runs(
    base: Mapping[str, Any], variants: Sequence[Variant], folds: Sequence[str], seeds: Sequence[int], out: Path
) -> list[Run]:
    """List the runs of a grid, fold by fold, so that all variants can be compared early.

    Raises:
        BadDataError: If a variant, fold or seed is there twice: it would be counted twice.
    """
    for what, values in (("variants", [v.name for v in variants]), ("folds", folds), ("seeds", seeds)):
        check_different(what, values)
    return [
        Run(
            out / variant.name / f"fold{fold}-seed{seed}",
            merge(merge(base, variant.settings(seed, fold)), {"seed_everything": seed, "data": {"test_fold": fold}}),
        )
        for fold in folds
        for seed in seeds
        for variant in variants
    ]


def merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with others in their place; another ``class_path`` takes no ``init_args`` over."""
    merged = dict(base)
    for name, value in more.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            kind = old.get("class_path")
            value = merge(old, value) if value.get("class_path", kind) == kind else value
        merged[name] = value
    return merged


def run_grid(runs: Sequence[Run], clips: Path, *, jobs: int = 1, cluster: str | None = None) -> list[Result]:
    """Train the runs that are not finished, and return the results of all, in their order.

    A run depends on its settings alone, not on those before it, so it may be trained anywhere and again.

    Args:
        runs: The runs.
        clips: Table of the clips that all of them use.
        jobs: Runs trained at the same time, in processes of this machine.
        cluster: Address of a Dask scheduler whose workers train instead; they need this folder and one thread each.

    Raises:
        BadDataError: If a run's folder was begun with other settings, or a worker died three times.
    """
    for run in runs:
        claim_settings(run.folder / SETTINGS, run.settings)
    for _ in range(ATTEMPTS):
        todo = [run for run in runs if read_result(run.folder) is None]
        if not todo:
            break
        with _progress(todo, sum(run.epochs for run in runs)), _workers(jobs, cluster) as worker:
            try:
                Parallel()(delayed(train_run)(run, clips, worker) for run in todo)
            except TerminatedWorkerError as error:
                print(f"a worker died, what is unfinished is submitted again: {error}", file=sys.stderr)
    results = [read_result(run.folder) for run in runs]
    if missing := [str(run.folder) for run, result in zip(runs, results, strict=True) if result is None]:
        raise BadDataError(f"workers died {ATTEMPTS} times (too little memory? fewer --jobs); unfinished: {missing[0]}")
    return [result for result in results if result is not None]


def train_run(run: Run, clips: Path, worker: Worker | None) -> None:
    """Train and test one run, from where it was stopped, in a worker or in this process.

    Raises:
        BadDataError: If the run fails in a process of its own.
    """
    arguments = ["fit", f"--config={run.folder / SETTINGS}", f"--run_dir={run.folder}", f"--clips={clips}"]
    arguments += ["--pictures=0", *(f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items())]
    if run.settings["trainer"].get("devices", 1) != 1:  # Lightning starts its other processes by this command
        if subprocess.run([sys.executable, "-m", "experiments.train", *arguments], check=False).returncode:
            raise BadDataError(f"{run.folder} ended with an error, which is above")
    else:
        import torch

        from experiments.train import train_quietly

        if worker is not None:
            torch.set_num_threads(worker.threads)
            arguments += [] if worker.owner is None else [f"--owner={worker.owner}"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to those who watch a training
            train_quietly(arguments)
    (run.folder / CHECKPOINT).unlink(missing_ok=True)  # finished: front-end and network are saved


@contextmanager
def _workers(jobs: int, cluster: str | None) -> Iterator[Worker | None]:
    """Choose where runs are trained; ``None`` is this process."""
    if cluster is not None:
        try:
            from distributed import Client, KilledWorker

            client = Client(cluster, timeout="10s")
        except (ImportError, OSError, ValueError) as error:
            raise BadDataError(
                f"--cluster must be the address of a Dask scheduler, got {cluster!r} ({error})"
            ) from error
        with client:
            several = {worker: n for worker, n in client.nthreads().items() if n != 1}
            if several or not client.nthreads():
                # Threads of a process share the state of random numbers: results would depend on each other.
                found = f"{several}" if several else "no worker"
                raise BadDataError(f"--cluster must have workers of one thread each (--nthreads 1), got {found}")
            with parallel_config("dask"):
                try:
                    yield Worker(1, None)
                except KilledWorker as error:  # Dask has tried others
                    raise BadDataError(f"workers of --cluster died: {error}") from error
    elif jobs == 1:
        with parallel_config("sequential"):
            yield None
    else:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        before = {name: os.environ.get(name) for name in ENVIRONMENT}
        os.environ.update({name: value for name, value in ENVIRONMENT.items() if before[name] is None})
        try:
            with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads):
                yield Worker(threads, os.getpid())
        finally:
            for name in (name for name, value in before.items() if value is None):
                del os.environ[name]


@contextmanager
def _progress(todo: Sequence[Run], total: int) -> Iterator[None]:
    """Show the epochs that are done, wherever they are: runs write a line for each."""
    ended = threading.Event()

    def done(run: Run) -> int:
        try:
            return min(run.epochs, len((run.folder / EPOCHS).read_text(encoding="utf-8").splitlines()) - 1)
        except OSError:
            return 0

    def watch() -> None:
        before = total - sum(run.epochs for run in todo)
        with tqdm(total=total, initial=before + sum(map(done, todo)), unit="epoch", smoothing=0.05) as bar:
            while not ended.wait(1.0):
                bar.update(before + sum(map(done, todo)) - bar.n)
            bar.update(before + sum(map(done, todo)) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
