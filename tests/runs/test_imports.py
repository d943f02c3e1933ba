"""Reading the files of a run imports neither torch nor Lightning."""

import subprocess
import sys

import pytest

from acl_lightning.exits.evaluation import record
from acl_lightning.runs import names

HEAVY = ("torch", "lightning", "transformers", "datasets")


@pytest.mark.parametrize("module", ["runs", "runs.records", "runs.session", "runs.provenance", "runs.trust"])
def test_a_module_imports_no_torch(module):
    code = f"import sys, acl_lightning.{module}; sys.exit(str([name for name in {HEAVY} if name in sys.modules] or ''))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stderr.strip() == ""


def test_the_exit_record_and_the_run_directory_agree_on_the_name_of_its_file():
    assert record.FILE_NAME == names.EXIT_LOGITS
