"""Presets against the processors that the models come with, where those install."""

import numpy as np
import pytest
from conftest import needs

from benchmarks.processors import PROCESSORS, difference, main, sound

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries


# Not a pure tone: where a band is all but empty, features are what the processor's arithmetic leaves of its sidelobes.
@pytest.mark.parametrize("kind", ["noise", "quiet noise", "speech", "click"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_features_are_those_of_the_processor(name, kind):
    processor = PROCESSORS[name]
    needs(processor.library)
    apart, spread = difference(processor, sound(kind, processor.preset().sample_rate).astype(np.float32))
    assert apart <= 1e-3 * spread


def test_the_table_has_a_row_for_each_library_that_imports(capsys, monkeypatch):
    needs("transformers")
    monkeypatch.setattr(
        "benchmarks.processors.PROCESSORS", {name: PROCESSORS[name] for name in ("speecht5", "whisper")}
    )
    assert main(["--seconds=1", "--clips=2", "--rounds=1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("|\n| ") >= 2
    assert "| speecht5" in printed
