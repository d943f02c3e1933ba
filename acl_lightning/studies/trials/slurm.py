"""Array script for SLURM: a task per trial of a grid or a random search."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = """\
#!/bin/bash
# {name}: {number} trials. Submit it with: sbatch {file}
# Finished trials are not repeated and interrupted ones continue, so that it may be submitted again.
#SBATCH --job-name={job}
#SBATCH --array=0-{last}{limit}
#SBATCH --cpus-per-task=1
#SBATCH --output={logs}/slurm-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
cd {directory} || exit 1
{command} --index "$SLURM_ARRAY_TASK_ID" &
trial=$!
trap 'kill -TERM "$trial"' TERM
wait "$trial"
code=$?
if kill -0 "$trial" 2>/dev/null; then  # a signal ended the first wait
  wait "$trial"
  code=$?
fi
# 143: the time limit came near, or the job was preempted.
if [ "$code" = 143 ] && command -v scontrol >/dev/null; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def array_script(
    name: str, number: int, command: Sequence[str], file: Path, logs: Path, limit: int | None = None
) -> str:
    """Return an array script in which task n runs the trial with index n.

    At SIGTERM, 120 seconds before the time limit, the trial stops and the task is put into the queue again.

    Args:
        name: Name of the study.
        number: Number of trials.
        command: Command that runs a trial, without its index. It is run in the present directory.
        file: Where the script is written to, for its comment.
        logs: Existing directory for the output of the tasks.
        limit: Largest number of tasks at a time; None for no limit.
    """
    return _SCRIPT.format(
        name=name,
        number=number,
        file=shlex.quote(str(file)),
        job="".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name),
        last=number - 1,
        limit="" if limit is None else f"%{limit}",
        logs=shlex.quote(str(logs)),
        directory=shlex.quote(str(Path.cwd())),
        command=shlex.join(command),
    )
