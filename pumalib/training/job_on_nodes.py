"""The job of one training over several machines.

A training over n nodes of k devices each is a training over n x k devices: its ranks, its numbers, its state and what
its files say of it are the same, on however many machines they are.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic_core import to_jsonable_python

from pumalib.jobs.frame import Frame
from pumalib.jobs.nodes import Team, lead, serve_task
from pumalib.training import job
from pumalib.training.task import TrainingTask

_SERVER = "pumalib.training.job_on_nodes"


def train_on_nodes(frame: Frame, task: TrainingTask) -> None:
    """Train on as many nodes as the settings say, of which this is the first.

    Args:
        frame: of the job.
        task: what to train.

    Raises:
        PumaError: as `nodes.lead`.
    """
    training, paths = task.settings.training, task.paths
    state = None if task.state_place is None else task.state_place.path
    read = (paths.dataset, paths.pool, paths.selection, paths.start, state)
    team = Team(training.nodes, training.devices, job.__name__, _SERVER)
    spread = replace(task, settings=task.settings.on_one_node)
    lead(team, frame, to_jsonable_python(spread), [path for path in read if path is not None])


if __name__ == "__main__":
    serve_task(job.__name__)
