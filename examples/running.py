"""Train cells one after another or several at a time, in workers that share the clips and report each epoch."""

from __future__ import annotations

import os
import queue
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch
from sound_folders import SoundSet
from tqdm import tqdm
from training import Cell, Settings, train


def run_cells(cells: list[Cell], sounds: SoundSet, settings: Settings, folder: Path, jobs: int) -> list[dict[str, Any]]:
    """Train all cells, ``jobs`` at a time, and give their results in the order of ``cells``."""
    with tqdm(total=len(cells) * settings.epochs, unit="epoch", smoothing=0.05) as bar:
        if jobs == 1:
            results = []
            for cell in cells:
                bar.set_description(cell.name)
                results.append(train(cell, sounds, settings, folder, bar.update))
            return results
        # Workers read the clips from one mapped file: nothing is decoded twice, nothing copied.
        shared = folder / "sounds.pt"
        torch.save(vars(sounds), shared)
        context = get_context("spawn")
        with context.Manager() as manager:
            ticks = manager.Queue()
            threads = max(1, (os.cpu_count() or 1) // jobs)
            pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(shared, threads))
            with pool:
                futures = [pool.submit(_train_in_worker, cell, settings, folder, ticks) for cell in cells]
                try:
                    _follow(futures, ticks, bar)
                    return [future.result() for future in futures]
                finally:
                    for future in futures:
                        future.cancel()
                    shared.unlink()


def _follow(futures: list[Future[dict[str, Any]]], ticks: Any, bar: Any) -> None:
    """Move the bar while workers work; stop at the first failure."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        try:
            while True:
                bar.set_description(ticks.get_nowait(), refresh=False)
                bar.update()
        except queue.Empty:
            pass
        for future in finished:
            future.result()


_worker_sounds: SoundSet


def _start_worker(shared: Path, threads: int) -> None:
    global _worker_sounds
    torch.set_num_threads(threads)
    _worker_sounds = SoundSet(**torch.load(shared, mmap=True, weights_only=True))


def _train_in_worker(cell: Cell, settings: Settings, folder: Path, ticks: Any) -> dict[str, Any]:
    def tick() -> None:
        parent = parent_process()
        if parent is None or not parent.is_alive():
            os._exit(1)  # killed: do not train on unseen, the epoch is saved
        ticks.put(cell.name)

    return train(cell, _worker_sounds, settings, folder, tick)
