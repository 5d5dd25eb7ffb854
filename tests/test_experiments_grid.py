import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import FRONTEND, MEAN, RATE, left, write_sounds

from experiments.data.store import open_store
from experiments.files import BadDataError
from experiments.grid import Run, Variant, make_runs, merge, run_grid
from experiments.runs import read_json

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("EXPERIMENT_KILLS", "2"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Settings that all variants share: a model with dropout, mixup and masks, so that random numbers count."""
    folder = tmp_path_factory.mktemp("grid")
    frontend = merge(FRONTEND, {"init_args": {"frontend": {"init_args": {"n_filters": 10}}}})
    network = {"class_path": "experiments.training.networks.SmallCNN", "init_args": {"n_classes": 3, "n_filters": 10}}
    adam = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    cycle = {"class_path": "experiments.training.rates.OneCycle"}
    root = write_sounds(folder / "set")
    data = {"root": str(root), "cache": str(folder / "cache"), "sample_rate": RATE, "seconds": 0.5, "rotate": True}
    model = {"frontend": frontend, "network": network, "optimizer": adam, "decay": cycle, "mixup": 0.4}
    model |= {"average": 0.5, "rotations": 2}
    open_store(data).claim(folder / "clips.csv")
    return {
        "trainer": {"max_epochs": 3, "accelerator": "cpu"},
        "data": {**data, "batch_size": 4},
        "model": {**model, "mask_filters": 2, "mask_frames": 5},
    }


VARIANTS = [
    Variant("staged", lambda *_: {"model": {"schedule": "filters-first"}}),
    Variant("natural, apart", lambda *_: {"model": {"natural": True, "repulsion": 1.0, "schedule": "warm-up"}}),
]


def clips(base):
    return Path(base["data"]["cache"]).parent / "clips.csv"


@pytest.fixture(scope="module")
def unbroken(base, tmp_path_factory):
    """Runs trained one after the other in this process, with as many threads as workers have."""
    import torch

    out, threads = tmp_path_factory.mktemp("unbroken"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_grid(make_runs(base, VARIANTS, ["1"], [0, 1], out), clips(base))
    finally:
        torch.set_num_threads(threads)
    return out


def test_a_grid_lists_each_run_once_and_refuses_repetitions(base, tmp_path):
    runs = make_runs(base, VARIANTS, ["1", "2"], [0, 3], tmp_path)
    assert [str(run.folder.relative_to(tmp_path)) for run in runs[:3]] == [
        "staged/fold1-seed0",
        "natural, apart/fold1-seed0",
        "staged/fold1-seed3",
    ]
    assert len({run.folder for run in runs}) == 8
    assert runs[2].settings["seed_everything"] == 3
    assert runs[2].settings["data"]["test_fold"] == "1"
    for folds, seeds, variants in ((["1", "1"], [0], 1), (["1"], [0, 0], 1), (["1"], [0], 2)):
        with pytest.raises(BadDataError, match=r"must differ, got .* more than once"):
            make_runs(base, VARIANTS[:1] * variants, folds, seeds, tmp_path)


def test_other_classes_take_no_arguments_over():
    before = {"a": {"class_path": "x", "init_args": {"n": 1}}, "b": 2}
    assert merge(before, {"a": {"init_args": {"m": 3}}})["a"]["init_args"] == {"n": 1, "m": 3}
    assert merge(before, {"a": {"class_path": "y"}}) == {"a": {"class_path": "y"}, "b": 2}
    assert before["a"]["init_args"] == {"n": 1}


def test_workers_that_die_are_replaced_and_results_are_those_of_unbroken_runs(base, unbroken, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    out = tmp_path / "out"
    runs = make_runs(base, VARIANTS, ["1"], [0, 1], out)
    kill = {"class_path": "small_runs.KillAt", "init_args": {"epoch": 1, "step": 1, "path": str(tmp_path / "once")}}
    (tmp_path / "once").touch()
    killed = merge(runs[1].settings, {"trainer": {"callbacks": [kill]}})
    runs[1] = Run(runs[1].folder, killed)
    results = run_grid(runs, clips(base), jobs=2)
    assert not (tmp_path / "once").exists()
    assert [result.folder for result in results] == [run.folder for run in runs]
    assert len(read_json(runs[1].folder / "run.json")) == 2  # begun twice
    assert left(out) == left(unbroken)
    assert not list(out.glob("*/*/last.ckpt"))


def test_a_grid_whose_workers_always_die_ends_with_a_line(base, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    kill = {"class_path": "small_runs.KillAt", "init_args": {"epoch": 0, "step": 0}}
    monkeypatch.setattr("experiments.grid.ATTEMPTS", 1)
    runs = make_runs(merge(base, {"trainer": {"callbacks": [kill]}}), VARIANTS[:1], ["1"], [0], tmp_path)
    with pytest.raises(BadDataError, match="workers died"):
        run_grid(runs, clips(base), jobs=2)


SCRIPT = """
import json, sys
from pathlib import Path
from experiments.grid import Run, run_grid
if __name__ == "__main__":
    runs = [Run(Path(folder), settings) for folder, settings in json.load(open(sys.argv[1]))]
    run_grid(runs, Path(sys.argv[2]), jobs=2)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills a group of processes")
def test_a_grid_that_is_killed_at_any_time_ends_like_an_unbroken_one(base, unbroken, tmp_path):
    import json

    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    runs = make_runs(base, VARIANTS, ["1"], [0, 1], out)
    (tmp_path / "grid.py").write_text(SCRIPT)
    (tmp_path / "runs.json").write_text(json.dumps([(str(run.folder), run.settings) for run in runs]))
    command = [sys.executable, str(tmp_path / "grid.py"), str(tmp_path / "runs.json"), str(clips(base))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    chance, kills = random.Random(0), 0
    while kills < KILLS:
        process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            assert process.wait(timeout=chance.uniform(5, 20)) == 0
            break  # it was done before it was killed
        except subprocess.TimeoutExpired:
            kills += 1
            workers = psutil.Process(process.pid).children(recursive=True)
            kill = os.killpg if kills % 2 else os.kill  # workers too, or workers are left alone
            kill(process.pid, signal.SIGKILL)
            process.wait()
            assert not psutil.wait_procs(workers, timeout=60)[1], "workers go on though nobody wants their results"
    run_grid(runs, clips(base), jobs=2)
    assert left(out) == left(unbroken)


def test_dask_workers_train_what_this_machine_trains(base, unbroken, tmp_path):
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        options = {"n_workers": 2, "dashboard_address": None, "silence_logs": 50, "local_directory": str(tmp_path)}
        with distributed.LocalCluster(threads_per_worker=1, **options) as cluster:
            out = tmp_path / "out"
            run_grid(make_runs(base, VARIANTS, ["1"], [0, 1], out), clips(base), cluster=cluster.scheduler_address)
            assert left(out) == left(unbroken)
        with (
            distributed.LocalCluster(threads_per_worker=2, **options) as cluster,
            pytest.raises(BadDataError, match="one thread each"),
        ):
            run_grid(make_runs(base, VARIANTS, ["1"], [5], out), clips(base), cluster=cluster.scheduler_address)
    with pytest.raises(BadDataError, match="--cluster must be the address of a Dask scheduler, got 'nowhere'"):
        run_grid(make_runs(base, VARIANTS, ["1"], [5], out), clips(base), cluster="nowhere")


def test_two_processes_of_a_run_give_the_result_of_one(base, tmp_path, monkeypatch):
    """DDP over gloo, the same global batches, nothing drawn at random."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import torch

    network = {**MEAN, "init_args": {"n_classes": 3, "n_filters": 10}}
    padded = {"init_args": {"frontend": {"init_args": {"pad_mode": "constant"}}}}  # the same in any batch
    plain = {
        "mixup": 0.0,
        "rotations": 1,
        "mask_filters": 0,
        "mask_frames": 0,
        "network": network,
        "segment_frames": 20,
        "frontend": padded,
    }
    plain |= {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}}
    # Waveforms are of different lengths, so processes have different numbers of segments.
    data = {"seconds": None, "rotate": False, "cache": str(tmp_path / "cache")}
    settings = merge(base, {"model": plain, "data": data})
    settings["data"]["root"] = str(write_sounds(tmp_path / "set", folds=2, clips=6))
    for i, path in enumerate(sorted((tmp_path / "set").glob("*/*.wav"))):
        import soundfile

        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[: len(samples) - 300 * (i % 5)], rate)
    open_store(settings["data"]).claim(tmp_path / "clips.csv")
    found = []
    for name, trainer in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_find_unused_parameters_true"})):
        run = make_runs(merge(settings, {"trainer": trainer}), VARIANTS[:1], ["1"], [0], tmp_path / name)[0]
        run_grid([run], tmp_path / "clips.csv")
        starts = read_json(run.folder / "run.json")
        found.append((run.folder, starts[0]["processes"], torch.load(run.folder / "network.pt", weights_only=True)))
    assert [processes for _, processes, _ in found] == [1, 2]
    for name, value in found[0][2].items():
        torch.testing.assert_close(found[1][2][name], value, rtol=1e-5, atol=1e-5)
    centers = [read_json(folder / "result.json")["centers"] for folder, _, _ in found]
    assert centers[0] == pytest.approx(centers[1], rel=1e-5)
    assert left(tmp_path / "one").keys() == left(tmp_path / "two").keys()
