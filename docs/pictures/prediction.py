"""Rank the banks that a probe and a training compare anew, after docs/evidence/bench.csv has changed.

python docs/pictures/bench.py
python docs/pictures/prediction.py

What the probe found stays as it is in prediction.csv; accuracies after training are those of bench_first.csv and
bench_runs.csv together. Writes prediction.csv and prediction.png, and prints the ranks of docs/evidence/results.md.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import EVIDENCE, SHORT, TITLES, Row, first_rows, later_rows, read, together
from palette import reduce_colors

from experiments.bench import REFERENCE
from experiments.files import write_table
from experiments.prediction import report

HEAD = ("set", "filters", "bank", "probe %", "probe minus mel", "mean: minus mel", "after training %", "minus mel")


def probed_rows() -> list[Row]:
    """Return what the probe found, and the accuracy after training: that of mel and the difference of the same runs."""
    trained = {(row["sounds"], row["n_filters"], row["variant"]): row for row in together(first_rows(), later_rows())}
    rows = []
    for line in read(EVIDENCE / "prediction.csv"):
        place = line["set"], int(line["filters"])
        own = trained[(*place, line["bank"])]
        training = trained[(*place, REFERENCE)]["accuracy"] + (own["difference"] or 0.0)
        known = {"bank": line["bank"], "probe": float(line["probe %"]) / 100, "training": training, "halves": None}
        rows.append({"sounds": place[0], "n_filters": place[1], **known})
    return rows


def main() -> None:
    """Write table and picture, and print the ranks."""
    rows = probed_rows()
    with TemporaryDirectory() as folder:
        text = report(rows, Path(folder))
        shutil.copy(Path(folder) / "prediction.png", path := EVIDENCE.parent / "_static" / "prediction.png")
        ranks = (Path(folder) / "prediction.md").read_text(encoding="utf-8")
    reduce_colors(path)
    numbers = ("probe", "probe_difference", "mean_difference", "training", "training_difference")
    lines = [
        [
            *(row[name] for name in ("sounds", "n_filters", "bank")),
            *(f"{100 * row[name]:{'+' * name.endswith('difference')}.1f}" for name in numbers),
        ]
        for row in rows
    ]
    write_table(EVIDENCE / "prediction.csv", [HEAD, *lines])
    for name, shown in {**TITLES, **SHORT, "linear, fixed": "linear", "ERB, fixed": "ERB"}.items():
        ranks = ranks.replace(f"| {name} |", f"| {shown} |")
    print(ranks, text.partition("\n\n")[2], sep="\n")


if __name__ == "__main__":
    main()
