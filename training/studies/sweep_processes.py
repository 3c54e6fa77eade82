"""A sweep in several processes of one machine, with its CPU threads divided among them.

Each process is a sweep of one process (`sweep.py`); they share trials through `sweep_trials.py`.
"""

import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Any, NoReturn

import torch
from rich.console import Console

from models.errors import VAEError
from training.data.datasets import load
from training.errors import Interrupted, RunError
from training.fit.interruption import Interruption
from training.progress_bar import ProgressBar
from training.studies.sweep import TrialSettings, run_trials
from training.studies.sweep_outcomes import Outcome
from training.studies.sweep_space import Sweep
from training.studies.sweep_trials import Trials, database_errors

_POLL_SECONDS = 0.5
_CAUGHT = {signal.SIGINT, signal.SIGTERM}


def run_processes(
    trials: Trials,
    settings: TrialSettings,
    *,
    jobs: int,
    deadline: float = math.inf,
    console: Console,
    show: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Train trials in several processes, as `run_trials` does in this one.

    A process that is killed leaves its trial to the others.

    Raises:
        Interrupted: SIGTERM or SIGINT came; every trial's checkpoint is written.
        RunError: The first trials all failed, a folder cannot be written to, or processes were
            killed before the trials were done.
        VAEError: A process cannot read the data.
    """
    context = get_context("forkserver")
    # Once for all of them: torch, and its compiler, which every optimizer brings.
    context.set_forkserver_preload([__name__, "torch._dynamo"])
    faults: SimpleQueue[VAEError] = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // jobs)
    processes = [
        context.Process(
            target=_work,
            args=(trials.sweep, settings, trials.prunes, deadline, threads, faults),
            name=f"sweep-{number}",
        )
        for number in range(jobs)
    ]
    with Interruption() as interruption, ProgressBar(console=console) as bar:
        _start(processes)
        task = bar.add_task("trials", total=settings.num_trials)
        told = {outcome.trial for outcome in trials.outcomes() if outcome.state != "running"}
        stopped = False
        try:
            while alive := [process for process in processes if process.is_alive()]:
                wait([process.sentinel for process in alive], timeout=_POLL_SECONDS)
                _show_new(trials, told, show)
                bar.update(task, completed=len(told))
                if interruption.received is not None and not stopped:
                    _stop(alive)
                    stopped = True
        finally:
            if not stopped:
                _stop(processes)
        _show_new(trials, told, show)
    if interruption.received is not None:
        raise Interrupted(
            f"{interruption.received.name} ended the sweep; the checkpoint of each trial is "
            "written. Give the same command again to go on.",
            signal_number=interruption.received,
        )
    if not faults.empty():
        raise faults.get()
    _refuse_killed(processes, trials, settings)


def _start(processes: Sequence[ForkServerProcess]) -> None:
    """Start processes that no signal reaches before they handle it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    try:
        for process in processes:
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)


def _stop(processes: Sequence[ForkServerProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()


def _show_new(trials: Trials, told: set[int], show: Callable[[Outcome], None]) -> None:
    for outcome in trials.outcomes():
        if outcome.state != "running" and outcome.trial not in told:
            told.add(outcome.trial)
            show(outcome)


def _refuse_killed(
    processes: Sequence[ForkServerProcess], trials: Trials, settings: TrialSettings
) -> None:
    """Refuse to end as if all were well while trials are left that a killed process had begun."""
    ended = [f"{process.name} by {process.exitcode}" for process in processes if process.exitcode]
    states = [outcome.state for outcome in trials.outcomes()]
    if ended and ("running" in states or len(states) < settings.num_trials):
        raise RunError(
            f"Processes of the sweep ended early: {', '.join(ended)}. Give the same command again "
            "to go on; take fewer --jobs if the memory is too small."
        )


def _work(
    sweep: Sweep,
    settings: TrialSettings,
    prunes: bool,
    deadline: float,
    threads: int,
    faults: "SimpleQueue[VAEError]",
) -> None:
    """Train trials in a process that another one started."""
    os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which then sends one signal to each
    for number in _CAUGHT:
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    console = Console(quiet=True)
    try:
        chosen = sweep.recipe.dataset
        dataset = load(chosen.name, group_by=chosen.group_by, data_dir=settings.data_dir)
        with database_errors(sweep.folder):
            trials = Trials(sweep, dataset_sha256=dataset.sha256, prunes=prunes, console=console)
            run_trials(trials, settings, dataset=dataset, deadline=deadline, console=console)
    except Interrupted as error:
        sys.exit(error.exit_code)
    except VAEError as error:
        faults.put(error)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    """End this process as SIGTERM does once its parent is gone."""
    parent: Any = parent_process()
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
