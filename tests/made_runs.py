# Folders of finished runs as a grid leaves them, made without training.
import json

from experiments.files import write_table
from experiments.runs import CONFIG, FRONTEND, PREDICTIONS, RESULT, read_result
from learnable_frontends import MelFrontend
from learnable_frontends.analysis import movement
from learnable_frontends.pretrained import save_pretrained

CLASSES, RATE = ("dog", "rain"), 8000
RIGHT, WRONG = ("dog", "dog", ""), ("dog", "rain", "")


def make_run(out, variant, fold=1, seed=0, lines=(RIGHT, WRONG), *, clips="a", frontend=None, root=None):
    """Make a run whose test clips have a label, a prediction and a device each; all of them are 1-dog.wav."""
    frontend = MelFrontend(RATE, 4) if frontend is None else frontend
    folder, moved = out / variant / f"fold{fold}-seed{seed}", movement(frontend)

    def shares(column):
        own = {line[column]: [other for other in lines if other[column] == line[column]] for line in lines}
        return {name: sum(line[0] == line[1] for line in some) / len(some) for name, some in own.items() if name}

    result = {
        "seed": seed,
        "fold": str(fold),
        "classes": CLASSES,
        "accuracy": sum(line[0] == line[1] for line in lines) / len(lines),
        "test_clips": clips,
        "seconds_per_epoch": 0.5,
        "per_class": shares(0),
        "per_device": shares(2),
        "frontend_parameters": sum(parameter.numel() for parameter in frontend.parameters()),
        "parameters": 1000,
        "centers": moved.current.tolist(),
        "moved_bandwidths": moved.bandwidths.tolist(),
    }
    table = [["dog/1-dog.wav", *line, fold] for line in lines]
    write_table(folder / PREDICTIONS, [["file", "label", "prediction", "device", "fold"], *table])
    save_pretrained(frontend, folder / FRONTEND)
    data = {"root": str(root or out), "sample_rate": RATE, "seconds": 0.5, "window": None}
    (folder / CONFIG).write_text(json.dumps({"data": data}))
    (folder / RESULT).write_text(json.dumps(result))
    return read_result(folder)


def make_runs(out, accuracies, **options):
    """Make runs of ten clips by variant: a list of accuracies, fold by fold."""
    return [
        make_run(out, variant, fold, lines=[RIGHT] * round(10 * value) + [WRONG] * round(10 - 10 * value), **options)
        for variant, values in accuracies.items()
        for fold, value in enumerate(values, start=1)
    ]
