"""Examples are derandomized, so nothing is worth keeping between runs: Hypothesis writes to a temporary folder."""

import tempfile

from hypothesis.configuration import set_hypothesis_home_dir

FOLDER = tempfile.TemporaryDirectory(prefix="hypothesis-")
set_hypothesis_home_dir(FOLDER.name)
